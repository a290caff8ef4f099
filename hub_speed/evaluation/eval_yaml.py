"""`eval.yaml`: what the Hub reads of a dataset that is a benchmark, so that scores of models appear on its page.

Source: hub-docs, Evaluation Results; mteb's `HFEvalMeta` (2.26), which knows this framework. A score names its dataset
and one of these task ids (`Hub.eval_results`). The Hub shows a leaderboard once it has put the dataset on its list.
"""

from collections.abc import Iterable

import yaml

FILE = "eval.yaml"

CONFIGS = {
    "retrieval": "queries",
    "reranking": "queries",
    "sts": "sts",
    "classification": "classification",
    "clustering": "clustering",
    "pairclassification": "pair_classification",
}
"""The id of a task, which is its type in `speed-results` in small letters → the config that its items are in."""


def eval_yaml(name: str, description: str, tasks: Iterable[str]) -> str:
    """The text of `eval.yaml` for a benchmark with these tasks of `CONFIGS`, scored on its split `test`."""
    listed = [{"id": task, "config": CONFIGS[task], "split": "test"} for task in tasks]
    found = {"name": name, "description": description, "evaluation_framework": "mteb", "tasks": listed}
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=1000)
