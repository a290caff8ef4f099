"""Mined hard negatives: ranks, margin, whose documents they may be, prompts, and a run that was stopped."""

import shutil
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("torch")

import numpy as np
from labelled_sets import judged_set, labelled_set, source
from tiny_models import WORDS
from tiny_training import embedder_settings, some_rows

from hub_speed.recipe import MINER
from hub_speed.training.embedder import backbone, labelled, nearest
from hub_speed.training.embedder.settings import EmbedderSettings, LabelledSet


def settings(miner: Path, folder: Path, given: LabelledSet, **changes: object) -> EmbedderSettings:
    return embedder_settings(miner, folder, miner=miner, miner_model="me/miner", labelled=(given,), **changes)


def documents(folder: Path, n: int) -> LabelledSet:
    """Three queries and `n` documents, of which the first three answer them; the rest are nobody's."""
    random = Random(0)
    texts = {f"d{i}": ("", " ".join(random.choices(WORDS, k=6))) for i in range(n)}
    asked = {f"q{i}": " ".join(random.choices(WORDS, k=3)) for i in range(3)}
    judged = [(f"q{i}", f"d{i}", 1.0) for i in range(3)] + [("q0", "d3", 1.0)]
    return source(judged_set(folder, texts, asked, judged), layout="beir", negative=None)


def test_missing_hard_negatives_are_mined_within_ranks_and_margin(decoder: Path, tmp_path: Path) -> None:
    rows = [{"query": row["query"], "positive": row["positive"]} for row in some_rows(40)]
    given = source(labelled_set(tmp_path / "set", rows), negative=None)
    found, mined = labelled.read(settings(decoder, tmp_path, given, mine_to=10, mine_margin=0.02))
    assert mined == sum(row["negative"] is not None for row in found) > 0
    model = backbone.embedder(decoder, 24)
    corpus = sorted({row["positive"] for row in rows})
    vectors = dict(zip(corpus, model.encode(corpus), strict=True))
    for row in found:
        if row["negative"] is None:
            continue
        query = model.encode(row["query"])
        own, other = (float(query @ vectors[row[side]]) for side in ("positive", "negative"))
        assert row["negative"] != row["positive"] and other <= own - 0.02 * abs(own) + 2e-3
        assert sum(float(query @ vector) > other + 2e-3 for vector in vectors.values()) <= 11


def test_no_document_of_a_rows_own_label_is_mined_for_it(decoder: Path, tmp_path: Path) -> None:
    classes = ["travel", "sport", "news"]
    rows = [{"query": f"{WORDS[i % 8]} {i}", "positive": f"{classes[i % 3]} {i // 6}"} for i in range(36)]
    rows = [row | {"class": classes[i % 3]} for i, row in enumerate(rows)]
    folder = labelled_set(tmp_path / "set", rows)
    given = settings(decoder, tmp_path, source(folder, negative=None, label="class"), mine_margin=0.0)
    found, mined = labelled.read(given)
    assert mined == sum(row["negative"] is not None for row in found) > 9
    assert not [row for row in found if row["negative"] and row["negative"].split()[0] == row["label"]]
    free, _ = labelled.read(settings(decoder, tmp_path, source(folder, negative=None), mine_margin=0.0))
    assert [row for row in free if row["negative"] and row["negative"].split()[0] == row["positive"].split()[0]]


def test_the_whole_corpus_is_mined_and_no_answer_of_a_query(decoder: Path, tmp_path: Path) -> None:
    given = settings(decoder, tmp_path, documents(tmp_path / "set", 30), mine_to=30, mine_margin=0.0)
    rows, mined = labelled.read(given)
    assert len(rows) == 4 and mined > 1
    answers = {row["query"]: {other["positive"] for other in rows if other["query"] == row["query"]} for row in rows}
    negatives = {row["negative"] for row in rows if row["negative"]}
    assert not any(row["negative"] in answers[row["query"]] for row in rows)
    assert negatives - set().union(*answers.values())  # documents that answer nothing


def test_pieces_and_an_interruption_change_nothing(
    decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(decoder, tmp_path, documents(tmp_path / "set", 30), mine_to=30, mine_margin=0.0)
    whole, _ = labelled.read(given)
    shutil.rmtree(given.work / "mining")
    for name, count in {"DOCUMENTS_AT_ONCE": 7, "EMBEDDED_AT_ONCE": 7, "QUERIES_AT_ONCE": 2}.items():
        monkeypatch.setattr(nearest, name, count)
    pieces, _ = labelled.read(given)
    assert pieces == whole
    (folder,) = (given.work / "mining").iterdir()
    assert not (folder / nearest.EMBEDDINGS).exists()  # tens of gigabytes, when all is mined
    width = 32 * np.dtype(np.float16).itemsize
    (folder / nearest.EMBEDDINGS).write_bytes(b"\1" * (3 * 7 * width + 5))  # stopped within the fourth piece
    (folder / "negatives.npy").unlink()
    resumed, _ = labelled.read(given)
    assert resumed != whole  # the three pieces that were there are taken as they are
    (folder / nearest.EMBEDDINGS).write_bytes(b"\1" * (7 * width - 1))  # stopped within the first
    (folder / "negatives.npy").unlink()
    assert labelled.read(given)[0] == whole
    assert labelled.read(given.model_copy(update={"miner": tmp_path / "gone"}))[0] == whole  # mined already


def test_a_miner_is_asked_with_its_own_prompts_else_with_the_recipes(decoder: Path, tmp_path: Path) -> None:
    plain = settings(decoder, tmp_path, documents(tmp_path / "set", 4)).recipe
    assert plain.prompts_of_miner == ("", "")
    e5 = plain.model_copy(update={"miner_model": f"{MINER}@main"}).prompts_of_miner
    assert e5 == nearest.searcher(decoder, e5, 24)[1] == ("query: ", "passage: ")
    model = backbone.embedder(decoder, 24)
    model.save_pretrained(str(tmp_path / "plain"), create_model_card=False)
    assert nearest.searcher(tmp_path / "plain", e5, 24)[1] == e5
    model.prompts = {"query": "ask: ", "document": ""}
    model.save_pretrained(str(tmp_path / "own"), create_model_card=False)
    miner, prompts = nearest.searcher(tmp_path / "own", e5, 24)
    assert prompts == (None, None) and miner.prompts["query"] == "ask: "
