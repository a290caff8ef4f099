"""The demo's documents, and the offline teacher's questions about them: who answers what is known."""

import json
import random
from collections import Counter

from hub_speed.generation import relabelling
from hub_speed.generation.parsing import Rejected
from hub_speed.grounded import asking, prompts
from hub_speed.grounded.planning import Passages, PlannedQuestion, plan
from hub_speed.grounded.reading import read_question
from hub_speed.llm.dialects import Completion
from hub_speed.quickstart import documents, teacher
from hub_speed.quickstart.documents import answers, asked, stated
from hub_speed.recipes.loader import load
from hub_speed.record import Json
from hub_speed.rows import DocumentRow
from hub_speed.stages.corpus import passages_of

RECIPE = load("domain-demo", ["questions.test_rows=0"])


def passages() -> Passages:
    """The passages of the demo, all of them of split train."""
    rows = []
    for name, text in documents.texts().items():
        about = {"id": name, "sha256": "", "source": name, "title": "", "text": text, "group": name, "split": "train"}
        rows += passages_of(DocumentRow.model_validate(about).model_dump(), RECIPE.corpus.passage_words)
    return Passages(rows)


PASSAGES = passages()
PLANNED = list(plan(RECIPE, PASSAGES, 600))


def said(row: PlannedQuestion) -> Json:
    found: Json = json.loads(teacher.answer(row.prompt, random.Random(row.id)))
    return found


WRITTEN = [(row, said(row)) for row in PLANNED]


def test_the_documents_that_ship_are_those_of_the_rule() -> None:
    assert {path.name: path.read_text("utf-8") for path in documents.shipped()} == documents.texts()
    assert 60 <= len(documents.texts()) <= 150


def test_most_questions_pass_and_are_answered_by_their_passages() -> None:
    counts: Counter[str] = Counter()
    for row, answer in WRITTEN:
        found = read_question(row, Completion((json.dumps(answer),), ("stop",), "m", 1, 1), "m", RECIPE.questions)
        if isinstance(found, Rejected):
            counts[found.reason] += 1
            continue
        together = "\n".join(each["text"] for each in row.positives)
        counts["answered" if answers(answer["query"], together) else "unanswered"] += 1
        if row.negative and answers(answer["query"], together):
            assert not answers(answer["query"], row.negative["text"]) or stated(row.positives[0]["text"]) <= stated(
                row.negative["text"]
            )
    assert counts["names_source"] > 10 and counts["copies_passage"] > 10
    assert 0.75 * len(WRITTEN) < counts["answered"] and 5 < counts["unanswered"] < 0.1 * len(WRITTEN)
    assert counts.keys() == {"names_source", "copies_passage", "answered", "unanswered"}


def test_styles_differ_and_ask_for_what_they_are_about() -> None:
    by_style = {row.style: (row, answer["query"]) for row, answer in WRITTEN if "passage" not in answer["query"]}
    assert by_style.keys() == prompts.STYLES.keys()
    assert by_style["keyword"][1].count(" ") < 5
    for style, (_, query) in by_style.items():
        assert asked(query), (style, query)


def test_some_facts_are_known_without_a_passage_and_the_judge_knows_them_all() -> None:
    recalled = fit = 0
    for row, answer in WRITTEN[:100]:
        text = json.loads(teacher.answer(prompts.recall(answer["query"], "English"), random.Random(0)))["answer"]
        recalled += text != "unknown"
        shown = [dict(each) for each in row.positives]
        verdict = json.loads(
            teacher.answer(prompts.judge(**answer, passages=shown, rng=random.Random(0)), random.Random(0))
        )
        assert verdict["fits"] == answers(answer["query"], "\n".join(each["text"] for each in shown))
        fit += verdict["fits"]
    assert 3 < recalled < 40 and fit > 70


def test_other_passages_answer_some_questions_as_well() -> None:
    """What a miner would take for negatives: overviews repeat facts of articles."""
    rows = PASSAGES.by_split["train"]
    elsewhere = 0
    for row, answer in WRITTEN[:100]:
        own = {each["id"] for each in row.positives}
        elsewhere += any(answers(answer["query"], each["text"]) for each in rows if each["id"] not in own)
    assert 5 < elsewhere < 60


def test_the_judge_of_mined_texts_knows_which_passages_answer() -> None:
    rows = PASSAGES.by_split["train"]
    seen: Counter[str] = Counter()
    for row, answer in WRITTEN[:60]:
        known = [each["text"] for each in row.positives]
        mined = [each["text"] for each in rows[:: len(rows) // 8] if each["text"] not in known]
        asked_for = {"id": row.id, "query": answer["query"], "positives": known, "negatives": mined}
        shown = relabelling.order(0, asked_for)
        said = json.loads(teacher.answer(relabelling.judge(asked_for, shown), random.Random(0)))["labels"]
        for i, word in zip(shown, said, strict=True):
            assert (word == "yes") == answers(answer["query"], relabelling.texts(asked_for)[i])
        seen.update(said)
    assert seen.keys() == {"yes", "no", "unsure"}


def test_a_query_of_another_world_has_no_answer() -> None:
    assert not answers("who wrote this recipe", documents.texts()["animals-overview.md"])
    assert asking.recall_job(RECIPE, {"id": "q", "query": "a", "language": "English"}).request.sampling.temperature == 0
