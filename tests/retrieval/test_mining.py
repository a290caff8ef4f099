"""Hard negatives: which passages never are one, and how the margin is loosened."""

import json
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("torch")

from corpus_rows import Row, folders, passage, question
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import WORDS, make_encoder

from hub_speed.recipe import Mine
from hub_speed.retrieval import mining
from hub_speed.retrieval.passages import Passages
from hub_speed.retrieval.settings import MiningSettings
from hub_speed.training.embedder import nearest


def rows(random: Random, documents: int, each: int, **columns: object) -> list[Row]:
    """Passages that overlap by a word."""
    texts = [[" ".join(random.choices(WORDS, k=6)) for _ in range(each)] for _ in range(documents)]
    return [
        passage(f"d{i:02}", 20 * k, f"{text} {i}{k}", **columns)
        for i, of_one in enumerate(texts)
        for k, text in enumerate(of_one)
    ]


def test_negatives_are_similar_passages_below_every_positive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random, encoder = Random(0), make_encoder(tmp_path / "encoder")
    train = rows(random, 8, 3)
    held_out = [passage("test", 0, "the quick fox", split="test")]
    ask = [question(f"q{i}", " ".join(random.choices(WORDS, k=3)), row) for i, row in enumerate(train[::2])]
    ask.append(question("both", "fox", train[0], train[9]))
    own = {"negative_ids": [train[13]["id"]], "negative": train[13]["text"], "kind": "contrastive"}
    ask.append(question("contrast", "dog", train[12], **own))
    ask.append(question("later", "dog", held_out[0]))
    given = MiningSettings(
        work=tmp_path / "work",
        embedder=encoder,
        out=tmp_path / "mined.json",
        recipe=Mine(margin=0.1, negatives=3, least_rows=0.5),
        **folders(tmp_path, [*train, *held_out], ask),
    )
    margins = mining.run(given)["margins"]
    found = json.loads(given.out.read_text())
    assert found.keys() == {row["id"] for row in ask} - {"later"}
    assert found["contrast"]["negative_ids"][0] == train[13]["id"]  # though it is beside its passage
    by_id = {row["id"]: row for row in train}
    asked = {row["id"]: row for row in ask}
    for name, each in found.items():
        row, mined = asked[name], list(zip(each["negative_ids"], each["negative_scores"], strict=True))
        mined = mined[1:] if name == "contrast" else mined
        lowest = min(each["positive_scores"])
        assert len(each["positive_scores"]) == len(row["positive_ids"]) and len(each["negative_ids"]) <= 3
        assert all(score <= lowest - margins[-1]["margin"] * abs(lowest) for _, score in mined)
        assert [score for _, score in mined] == sorted((score for _, score in mined), reverse=True)
        documents = {by_id[positive]["document"]: by_id[positive] for positive in row["positive_ids"]}
        for negative, _ in mined:
            other = by_id[negative]
            positive = documents.get(other["document"])
            assert positive is None or abs(other["start"] - positive["start"]) > 20
    assert any(len(each["negative_ids"]) > 1 for each in found.values())
    for name in ("DOCUMENTS_AT_ONCE", "EMBEDDED_AT_ONCE", "QUERIES_AT_ONCE"):
        monkeypatch.setattr(nearest, name, 5)
    again = given.model_copy(update={"out": tmp_path / "again.json", "work": tmp_path / "again"})
    mining.run(again)
    ids = [
        {name: each["negative_ids"] for name, each in json.loads(path.read_text()).items()}
        for path in (given.out, again.out)
    ]
    assert ids[0] == ids[1]  # pieces change nothing


CASES = {  # whether it may be a negative of a question that the first passage answers
    "the answer": (False, passage("a", 0, "one two three")),
    "overlaps the answer": (False, passage("a", 10, "three four five")),
    "next to the answer": (False, passage("a", 20, "six seven eight")),
    "further in its document": (True, passage("a", 60, "nine ten eleven")),
    "its text elsewhere": (False, passage("b", 0, "One two, three!")),
    "in a near-duplicate": (False, passage("c", 0, "one two three four", group="a")),
    "other words of a near-duplicate": (True, passage("c", 90, "of another matter", group="a")),
    "the answer to the same words": (False, passage("d", 0, "as good as the first")),
    "a foreign one with the same words": (True, passage("e", 0, "one two three four five")),
    "a second with these words": (False, passage("f", 0, "One two three four five")),
    "its own negative": (False, passage("g", 0, "no answer")),
}


def test_what_is_never_a_negative() -> None:
    rows = {name: row for name, (_, row) in CASES.items()}
    passages = Passages([*rows.values()])
    ask = [question("q", "which?", rows["the answer"]), question("r", "Which", rows["the answer to the same words"])]
    numbers = {name: passages.numbers[row["id"]] for name, row in rows.items()}
    siblings = mining.Siblings(passages, ask, [passages.positives(each) for each in ask], reach=2)
    ranked = [(number, 1 - number / 100) for number in range(len(passages))]
    left = siblings.candidates(0, ranked, [numbers["its own negative"]])
    assert left == [each for each in ranked if each[0] in {numbers[name] for name, (fit, _) in CASES.items() if fit}]
    alone = mining.Siblings(passages, ask, [passages.positives(each) for each in ask], reach=0)
    assert {number for number, _ in alone.candidates(0, ranked, [])} - {number for number, _ in left} == {
        numbers["next to the answer"],
        numbers["its own negative"],
    }  # what overlaps the answer is none, whatever the reach


@given(
    st.lists(st.lists(st.floats(0, 1), max_size=6), min_size=1, max_size=8),
    st.floats(0, 0.5),
    st.floats(0, 1),
    st.integers(1, 3),
)
@settings(max_examples=50, deadline=None)
def test_the_margin_is_loosened_until_enough_rows_have_a_negative(
    cosines: list[list[float]], margin: float, least: float, most: int
) -> None:
    recipe = Mine(margin=margin, least_rows=least, negatives=most)
    ranked = [list(enumerate(sorted(row, reverse=True))) for row in cosines]
    kept, tried = mining.choose(ranked, [0.5] * len(ranked), recipe)
    used = tried[-1]["margin"]
    assert kept == [[each for each in row if each[1] <= 0.5 - used * 0.5][:most] for row in ranked]
    assert tried[-1]["share"] == sum(bool(row) for row in kept) / len(kept)
    assert [each["margin"] for each in tried] == sorted((each["margin"] for each in tried), reverse=True)
    assert tried[0]["margin"] == pytest.approx(margin) and all(each["share"] < least for each in tried[:-1])
    assert tried[-1]["share"] >= least or used == 0
