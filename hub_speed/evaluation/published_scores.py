"""The scores that both papers publish, and our means to compare with them. All numbers are percentages.

Sources: SPEED Tables 1 and 8, E5-mistral Tables 1 and 17. The mean over all 56 tasks is the "Avg." of both.
"""

from collections.abc import Sequence
from typing import Any

TYPES = ("Classification", "Clustering", "PairClassification", "Reranking", "Retrieval", "STS", "Summarization")

COLUMNS = ("SPEED, synthetic", "E5-mistral, synthetic", "SPEED, all data", "E5-mistral, all data")

# MTEB(eng, v1), by mteb's name of the task, in the order of COLUMNS.
TASKS: dict[str, tuple[str, tuple[float, float, float, float]]] = {
    "AmazonCounterfactualClassification": ("Classification", (78.2, 79.6, 76.7, 78.7)),
    "AmazonPolarityClassification": ("Classification", (95.7, 95.8, 96.2, 95.9)),
    "AmazonReviewsClassification": ("Classification", (56.7, 56.9, 56.3, 55.8)),
    "Banking77Classification": ("Classification", (87.7, 86.2, 88.6, 88.2)),
    "EmotionClassification": ("Classification", (52.3, 49.2, 51.0, 49.8)),
    "ImdbClassification": ("Classification", (93.9, 94.8, 94.9, 94.8)),
    "MassiveIntentClassification": ("Classification", (79.0, 79.8, 80.2, 80.6)),
    "MassiveScenarioClassification": ("Classification", (81.5, 81.7, 82.3, 82.4)),
    "MTOPDomainClassification": ("Classification", (95.4, 95.6, 95.9, 96.1)),
    "MTOPIntentClassification": ("Classification", (86.0, 84.9, 87.1, 86.1)),
    "ToxicConversationsClassification": ("Classification", (68.9, 70.2, 68.4, 69.6)),
    "TweetSentimentExtractionClassification": ("Classification", (64.3, 63.5, 63.8, 63.7)),
    "ArxivClusteringP2P": ("Clustering", (50.7, 51.4, 51.1, 50.5)),
    "ArxivClusteringS2S": ("Clustering", (46.4, 46.5, 47.0, 45.5)),
    "BiorxivClusteringP2P": ("Clustering", (42.6, 44.5, 42.0, 43.5)),
    "BiorxivClusteringS2S": ("Clustering", (39.7, 40.9, 39.6, 40.2)),
    "MedrxivClusteringP2P": ("Clustering", (35.1, 40.5, 37.0, 38.2)),
    "MedrxivClusteringS2S": ("Clustering", (35.7, 38.0, 36.3, 37.5)),
    "RedditClustering": ("Clustering", (56.1, 56.3, 57.9, 57.7)),
    "RedditClusteringP2P": ("Clustering", (63.9, 66.3, 65.3, 66.5)),
    "StackExchangeClustering": ("Clustering", (70.0, 72.9, 71.6, 73.1)),
    "StackExchangeClusteringP2P": ("Clustering", (39.9, 46.1, 39.0, 45.9)),
    "TwentyNewsgroupsClustering": ("Clustering", (54.9, 52.2, 55.2, 54.3)),
    "SprintDuplicateQuestions": ("PairClassification", (95.8, 93.5, 95.5, 95.7)),
    "TwitterSemEval2015": ("PairClassification", (77.5, 78.0, 81.7, 81.6)),
    "TwitterURLCorpus": ("PairClassification", (85.7, 86.5, 87.4, 87.8)),
    "AskUbuntuDupQuestions": ("Reranking", (65.5, 64.3, 67.2, 67.0)),
    "MindSmallReranking": ("Reranking", (33.0, 33.1, 33.4, 32.6)),
    "SciDocsRR": ("Reranking", (86.7, 86.0, 87.3, 86.3)),
    "StackOverflowDupQuestions": ("Reranking", (53.9, 52.5, 55.2, 54.9)),
    "ArguAna": ("Retrieval", (40.5, 52.2, 59.3, 61.9)),
    "ClimateFEVER": ("Retrieval", (22.2, 21.1, 37.8, 38.4)),
    "CQADupstackRetrieval": ("Retrieval", (41.7, 40.8, 41.6, 43.0)),
    "DBPedia": ("Retrieval", (43.3, 42.0, 49.7, 48.9)),
    "FEVER": ("Retrieval", (77.7, 72.5, 88.5, 87.8)),
    "FiQA2018": ("Retrieval", (39.5, 38.1, 56.1, 56.6)),
    "HotpotQA": ("Retrieval", (55.6, 48.1, 75.2, 75.7)),
    "MSMARCO": ("Retrieval", (25.9, 25.7, 42.5, 43.1)),
    "NFCorpus": ("Retrieval", (36.5, 35.5, 38.7, 38.6)),
    "NQ": ("Retrieval", (53.3, 53.3, 61.7, 63.5)),
    "QuoraRetrieval": ("Retrieval", (84.6, 75.0, 89.3, 89.6)),
    "SCIDOCS": ("Retrieval", (21.0, 20.6, 16.6, 16.3)),
    "SciFact": ("Retrieval", (71.9, 71.5, 77.2, 76.4)),
    "Touche2020": ("Retrieval", (23.8, 25.4, 25.8, 26.4)),
    "TRECCOVID": ("Retrieval", (83.9, 82.3, 87.4, 87.2)),
    "BIOSSES": ("STS", (85.4, 84.2, 87.1, 85.5)),
    "SICK-R": ("STS", (79.6, 78.6, 82.5, 82.6)),
    "STS12": ("STS", (77.7, 75.8, 80.2, 79.7)),
    "STS13": ("STS", (87.9, 84.3, 89.9, 88.4)),
    "STS14": ("STS", (81.8, 80.9, 86.2, 84.5)),
    "STS15": ("STS", (87.7, 86.2, 91.2, 90.4)),
    "STS16": ("STS", (85.8, 85.0, 88.2, 87.7)),
    "STS17": ("STS", (86.4, 87.3, 91.9, 91.8)),
    "STS22": ("STS", (69.2, 66.0, 68.3, 67.0)),
    "STSBenchmark": ("STS", (84.7, 83.5, 89.2, 88.6)),
    "SummEval": ("Summarization", (31.7, 31.9, 31.1, 31.4)),
}

# SPEED Table 1: models without scores per task. Means per type in the order of TYPES, then over all tasks.
AVERAGES = {
    "Mistral on LLaMA-3-8B-Instruct's rows, synthetic": (76.8, 48.0, 79.8, 59.5, 44.2, 79.7, 31.5, 61.0),
    "Mistral on GPT-4o's rows, synthetic": (77.7, 47.7, 83.9, 58.7, 46.7, 80.9, 30.7, 62.2),
    "Gecko-1b-768, synthetic": (70.3, 46.8, 86.2, 57.6, 53.2, 83.1, 32.2, 62.6),
    "GTE-large, all data": (73.3, 46.8, 85.0, 59.1, 52.2, 83.4, 31.7, 63.1),
    "text-embedding-3-large": (75.5, 49.0, 85.7, 59.2, 55.4, 81.7, 29.9, 64.6),
    "Gecko-1b-768, all data": (81.2, 47.5, 87.6, 58.9, 55.7, 85.1, 32.6, 66.3),
}


def is_mteb(score: dict[str, Any]) -> bool:
    """Whether a `rows.ScoreRow` is from one of mteb's own tasks, not from a Hub dataset."""
    return "/" not in score["benchmark"]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def averages(scores: Sequence[dict[str, Any]]) -> dict[str, tuple[float, int]]:
    """Type → the embedder's mean over mteb's tasks, as a percentage, and the number of tasks; "all" is the last key.

    Empty if none of mteb's tasks was scored.
    """
    mine = [score for score in scores if is_mteb(score) and score["subject"] == "embedder"]
    found = {
        kind: [100 * score["value"] for score in mine if kind in ("all", score["task_type"])]
        for kind in [*dict.fromkeys(score["task_type"] for score in mine), "all"]
    }
    return {kind: (_mean(values), len(values)) for kind, values in found.items() if values}


def comparison(scores: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A table of our means and the papers', over those tasks of MTEB(eng, v1) that were scored here.

    Models with only published means over all 56 tasks are included if all 56 were scored. Empty if none was.
    """
    mine = {s["benchmark"]: 100 * s["value"] for s in scores if s["subject"] == "embedder" and s["benchmark"] in TASKS}
    if not mine:
        return []
    kinds = [kind for kind in TYPES if any(TASKS[name][0] == kind for name in mine)]

    def row(name: str, values: dict[str, float]) -> list[str]:
        means = [_mean([value for task, value in values.items() if TASKS[task][0] == kind]) for kind in kinds]
        return [name, *(f"{value:.1f}" for value in (*means, _mean(list(values.values()))))]

    counts = [sum(TASKS[name][0] == kind for name in mine) for kind in kinds]
    head = ["mean over", *(f"{kind} ({count})" for kind, count in zip(kinds, counts, strict=True))]
    table = [[*head, f"all ({len(mine)})"], row("**this model**", mine)]
    table += [row(name, {task: TASKS[task][1][i] for task in mine}) for i, name in enumerate(COLUMNS)]
    if len(mine) == len(TASKS):
        table += [[name, *(f"{value:.1f}" for value in values)] for name, values in AVERAGES.items()]
    return table
