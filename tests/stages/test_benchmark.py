"""The stage that makes a benchmark of held-out questions."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from corpus_rows import Row, passage, published, question
from fake_openai import FakeOpenAI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage_run import Run

from hub_speed.cards import render
from hub_speed.errors import StageError
from hub_speed.evaluation import eval_yaml
from hub_speed.generation.echo import plain
from hub_speed.generation.parsing import Rejected
from hub_speed.parquet import read_parquet
from hub_speed.pipeline.table import STAGES
from hub_speed.retrieval.passages import Passages
from hub_speed.stages.benchmark import Known
from hub_speed.training import test_texts

SPLITS = {"a": "train", "b": "train", "c": "dev", "d": "test", "e": "test"}


def corpus(rng: Random) -> list[Row]:
    """Passages of five documents; some texts stand in several of them."""
    return [
        passage(name, 100 * i, f"text {rng.randrange(12)}", split=split)
        for name, split in SPLITS.items()
        for i in range(rng.randrange(1, 5))
    ]


def asked(rng: Random, passages: list[Row], count: int) -> list[Row]:
    found = []
    for i in range(count):
        first = rng.choice(passages)
        beside = [each for each in passages if each["document"] == first["document"] and each != first]
        answers = [first, *rng.sample(beside, min(len(beside), rng.randrange(2)))]
        found.append(question(f"q{i:03}", f"question {rng.randrange(40)}", *answers))
    return found


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_judgement_names_a_passage_of_the_corpus_and_no_training_text(
    tmp_path_factory: pytest.TempPathFactory, server: FakeOpenAI, seed: int
) -> None:
    folder, rng = tmp_path_factory.mktemp("run"), Random(seed)
    passages = corpus(rng)
    questions = asked(rng, passages, 30)
    run = Run("benchmark", folder, server)
    run.inputs |= published(folder, passages, questions)
    try:
        kept = {row["id"]: row for row in run.build()}
    except StageError as error:
        assert "no question about a held-out document" in error.where
        return
    by_id = {row["id"]: row for row in passages}
    qrels = list(read_parquet(run.ctx.out / "qrels"))
    assert {row["_id"] for row in read_parquet(run.ctx.out / "corpus")} == by_id.keys()
    assert [row["_id"] for row in read_parquet(run.ctx.out / "queries")] == list(kept)
    assert {row["query-id"] for row in qrels} == kept.keys()
    train = [row for row in questions if row["split"] == "train"]
    trained = {plain(by_id[name]["text"]) for row in train for name in row["positive_ids"]}
    for row in qrels:
        assert kept[row["query-id"]]["split"] == "test" and by_id[row["corpus-id"]]
        assert plain(by_id[row["corpus-id"]]["text"]) not in trained
    assert not {row["query"] for row in train} & {row["query"] for row in kept.values()}
    for row in kept.values():  # its own passages, and all with the same text
        texts = {by_id[name]["text"] for name in row["positive_ids"]}
        judged = {each["corpus-id"] for each in qrels if each["query-id"] == row["id"]}
        assert judged == {name for name, each in by_id.items() if each["text"] in texts}


def made(folder: Path, server: FakeOpenAI) -> Run:
    rows = [passage("a", 0, "of foxes"), passage("d", 0, "of dogs", split="test", title="Pets › Dogs")]
    rows += [passage("e", 0, "of foxes", split="test"), passage("e", 100, "of cats", split="test")]
    styles = ["keyword", "claim", "natural", "question"]
    found = [question(f"q{i}", f"who {i}", row, style=styles[i]) for i, row in enumerate(rows)]
    found.append(question("q4", "who 0", rows[3]))
    run = Run("benchmark", folder, server)
    run.inputs |= published(folder, rows, found)
    return run


def test_what_training_has_seen_is_left_out_with_its_reason(server: FakeOpenAI, tmp_path: Path) -> None:
    run = made(tmp_path, server)
    assert [row["id"] for row in run.build()] == ["q1", "q3"]
    assert {name: row["detail"] for name, row in run.ledger().items() if row["reason"]} == {
        "q2": "training documents have 100% of the text of e-0-8",
        "q4": "a training question has the same words",
    }
    assert list(test_texts.texts_in(run.ctx.out)) == ["who 1", "who 3"]  # what training rows are checked against
    assert run.record.rejected == {"seen_in_training": 2} and run.record.by_task_type == {"retrieval": 2}


def test_a_paragraph_of_a_training_document_is_no_held_out_passage(tmp_path: Path) -> None:
    shared, own = "the licence says that everyone may copy this", "only this document has these eight words here"
    rows = [
        passage("a", 0, f"foxes run\n\n{shared.upper()}\n\nand sleep"),
        passage("e", 0, f"{shared}\n\ncats", split="test"),
        passage("e", 100, f"{shared}\n\n{own} too", split="test"),
    ]
    found = published(tmp_path, rows, [question(f"q{i}", f"who {i}", row) for i, row in enumerate(rows)])
    known = Known(Passages(rows), found["filter"] / "data")
    assert [isinstance(known.judge(question("q", "who else", row)), Rejected) for row in rows[1:]] == [True, False]


def test_mteb_reads_what_the_card_names(server: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mteb")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")  # it tells folders by their last name
    from mteb._hf_integration.eval_model import HFEvalMeta

    from hub_speed.evaluation.benchmarks import own
    from hub_speed.evaluation.settings import Benchmark

    run = made(tmp_path, server)
    run.build()
    render.render(STAGES["benchmark"], run.ctx)
    card = (run.ctx.out / "README.md").read_text("utf-8")
    assert "| style | claim | 1 |" in card and "| kind | single | 2 |" in card
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["task_categories"] == ["text-retrieval"]
    (task,) = own(Benchmark(name="me/benchmark", folder=run.ctx.out, commit="c" * 40))
    task.load_data()
    data: Any = task.dataset["default"]["test"]  # type: ignore[index]
    assert data["relevant_docs"] == {"q1": {"d-0-7": 1}, "q3": {"e-100-107": 1}}
    assert {row["id"]: row["title"] for row in data["corpus"]}["d-0-7"] == "Pets › Dogs"
    assert task.notes() == []
    (listed,) = HFEvalMeta.model_validate(yaml.safe_load((run.ctx.out / eval_yaml.FILE).read_text("utf-8"))).tasks
    assert (listed.id, listed.config, listed.split) == ("retrieval", "queries", "test")


def test_a_corpus_without_held_out_questions(server: FakeOpenAI, tmp_path: Path) -> None:
    run = Run("benchmark", tmp_path, server)
    run.inputs |= published(tmp_path, rows := [passage("a", 0, "of foxes")], [question("q", "who", *rows)])
    with pytest.raises(StageError, match="no question about a held-out document"):
        run.build()
