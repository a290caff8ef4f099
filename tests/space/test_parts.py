"""The parts of the explorer that need neither gradio nor torch: tables, rankings, the picture of a lineage."""

import json
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from corpus_rows import passage, question
from huggingface_hub import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_run import ledger_row

from hub_speed import space
from hub_speed.errors import HubError
from hub_speed.hub import RECORD, Hub, Ref
from hub_speed.localhub import LocalHub
from hub_speed.parquet import write_parquet
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Ancestor, RunRecord
from hub_speed.rows import LedgerRow, PassageRow, QuestionRow, SyntheticRow
from hub_speed.task_types import TASK_TYPES


@pytest.fixture(autouse=True)
def beside_the_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The app's files can be imported, as they lie in a Space."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(space.folder()))
    yield
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(space.folder()) in str(sys.modules[name].__file__):
            del sys.modules[name]


DRAFT = '{"S1": "a query 6", "S2": "one two", "S3": "three"}'


def row(number: int, kind: str, **values: object) -> dict[str, Any]:
    empty = {name: "" for name in SyntheticRow.model_fields}
    return empty | {"id": f"synthesize-{number:07d}", "task_type": kind, "revised": number % 2 == 0} | values


@pytest.fixture
def published(local: LocalHub, tmp_path: Path) -> tuple[Hub, Ref]:
    """Seven retrieval rows in two files and three sts rows, one of which was revised; the ledger of that one."""
    folder = tmp_path / "set"
    answer = json.dumps({"reason": "it is clearer", "revision": {}})
    line = ledger_row("synthesize-0000006", "accepted", "") | {"completions": [answer]}
    write_parquet([line], LedgerRow, folder / "ledger")
    for name, kind, numbers in (("retrieval", "retrieval", range(5)), ("sts", "sts", range(5, 8))):
        write_parquet(
            (row(i, kind, query=f"query {i}", draft=DRAFT) for i in numbers), SyntheticRow, folder / "data" / name
        )
    write_parquet((row(i, "retrieval", query="Ünïque") for i in (8, 9)), SyntheticRow, tmp_path / "more")
    (tmp_path / "more" / "train-00000.parquet").replace(folder / "data" / "retrieval" / "train-00001.parquet")
    hub = Hub(local.endpoint)
    return hub, hub.publish("dataset", "speed-demo/some", folder, message="Some rows", tag="run-1")


def test_a_table_counts_finds_and_reads_the_rows_of_all_files(published: tuple[Hub, Ref]) -> None:
    from tables import Filter, Table

    table = Table(*published, "data")
    assert table.total == 10
    everything = table.rows(table.find(Filter()).numbers)
    assert sorted(one["id"] for one in everything) == [f"synthesize-{i:07d}" for i in range(10)]
    assert "sts" in [one["task_type"] for one in everything[:4]]  # mixed evenly
    assert [one["query"] for one in table.rows(table.find(Filter(text="üNÏQUE")).numbers)] == ["Ünïque"] * 2
    assert len(table.find(Filter(task_type="sts", revised=True)).numbers) == 1
    assert len(table.find(Filter(text="A query 6")).numbers) == 8  # in their drafts
    assert table.find(Filter(task_type="bitext")).numbers.size == 0
    assert (table.row("synthesize-0000009") or {})["query"] == "Ünïque" and table.row("no") is None
    assert len(set(table.sample(6).tolist())) == len(table.sample(6)) >= 5
    hub, ref = published
    assert hub.tags(ref.kind, ref.repo) == {"run-1": ref}


def test_the_numbers_of_two_runs_are_told_apart() -> None:
    from figures import funnels

    def record(recipe: str, rows: int) -> SimpleNamespace:
        return SimpleNamespace(recipe=recipe, rows_in=rows, accepted=rows // 2, rejected={"duplicate": rows // 2})

    made = {"synthesize": record("large", 400), "questions": record("handbook", 40), "filter": record("handbook", 20)}
    published = SimpleNamespace(ref=lambda name: name, record=made.get, url=lambda name: f"http://{name}")
    first, second = funnels(published, list(made))  # type: ignore[arg-type]
    assert (first["recipe"], first["last"], first["url"]) == ("large", "synthesize", "http://synthesize")
    assert (second["recipe"], second["last"]) == ("handbook", "filter")
    assert [stage["stage"] for stage in second["stages"]] == ["questions", "filtered questions"]
    assert [bar["share"] for bar in second["stages"][1]["bars"]] == [0.5, 0.25, 0.25]  # of its own run's most


@pytest.fixture
def versions(published: tuple[Hub, Ref]) -> SimpleNamespace:
    """The set as the newest rows of an organisation."""
    hub, ref = published
    kept: dict[str, Any] = {}

    def keep(name: str, make: Callable[[], Any]) -> Any:
        return kept[name] if name in kept else kept.setdefault(name, make())

    return SimpleNamespace(hub=hub, ref=lambda name: ref, url=str, keep=keep, training=lambda: "revise")


def test_an_example_is_read_without_fetching_whole_files(versions: SimpleNamespace) -> None:
    from example import example

    found = example(versions, "sts")
    assert found["example"] == str(versions.ref("revise"))
    assert found["draft"]["row"]["query"] == "a query 6" and found["revised"]["row"]["query"] == "query 6"
    assert (found["revised"]["changed"], found["revised"]["why"]) == (True, "it is clearer")
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.parquet"))


def test_pages_stay_within_a_set(versions: SimpleNamespace) -> None:
    from rows import Rows
    from tables import Table

    versions.record = lambda ref: SimpleNamespace(by_task_type={"retrieval": 7, "sts": 3})
    versions.languages = lambda: ["English"]
    rows = Rows(versions)
    assert isinstance(rows.table("revise"), Table)
    for asked, told in ((9999, 1), (None, 1), (0, 1), (-3, 1)):
        assert rows.page(page=asked)["page"] == told
    for name, there in (("task_type", "one of retrieval, sts, or none"), ("language", "one of English, or none")):
        with pytest.raises(space.HubSpeedError, match=f"(?s)no such {name.replace('_', ' ')}.*{there}.*Klingon"):
            rows.page(**{name: "Klingon"})
    assert rows.page(task_type="sts", language="English")["total"] == 0  # this set is in no language
    versions.record = lambda ref: SimpleNamespace(by_task_type={})
    with pytest.raises(space.HubSpeedError, match="none: it is not divided by task type"):
        rows.page(task_type="sts")
    with pytest.raises(space.HubSpeedError, match="no such state"):
        rows.page(state="lost")


def test_rows_about_documents_are_the_start_where_there_are_no_others(local: LocalHub, tmp_path: Path) -> None:
    from looks import render
    from published import Published
    from rows import Rows

    hub = Hub(local.endpoint)

    def publish(stage: str, lineage: dict[str, Ancestor], *lines: dict[str, Any]) -> Ref:
        folder, made = tmp_path / stage, STAGES[stage]
        write_parquet([asked], QuestionRow, folder / "data" / "retrieval")
        write_parquet(lines, LedgerRow, folder / "ledger")
        identity = {"recipe": {"languages": {"German": 1}}}
        found = RunRecord(stage=stage, fingerprint="f", recipe="r", identity=identity, inputs={}, lineage=lineage)
        (folder / RECORD).write_text(found.model_dump_json(), "utf-8")
        return hub.publish("dataset", made.repo("org"), folder, message=stage, tag="run-1")

    text = passage("d", 0, "Oil the pump.")
    asked = question("q-1", "how often?", text, style="keyword")
    published = Published(hub, "org")
    with pytest.raises(HubError, match="org/speed-synthetic is not on"):
        published.training()
    questions = publish("questions", {})
    rejected = ledger_row("q-1", "rejected", "not_found") | {"completions": ["unknown"]}
    publish("filter", {questions.version: Ancestor(stage="questions")}, rejected)
    published = Published(hub, "org")
    rows = Rows(published)
    assert (published.training(), published.of_documents(), published.languages()) == ("filter", True, ["German"])
    assert rows.sets() == [("filtered questions", "filter"), ("questions", "questions")]
    assert rows.page()["from"] == str(published.ref("filter")) and "keyword" in render("data.rows", rows.page())
    assert "how often?" in render("data.rows", rows.page("filter", state="rejected"))
    assert "<b>questions</b>" in render("page.head", published.versions())


def test_passages_alone_are_shown_with_a_sentence_on_how_the_rest_is_made(local: LocalHub, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    import data
    import figures
    import search
    from handlers import show
    from looks import render
    from models import Models
    from published import NotMade, Published
    from rows import Rows
    from use import lines_of

    hub = Hub(local.endpoint)
    write_parquet([passage("d", i, f"Oil the pump {i}.") for i in range(12)], PassageRow, tmp_path / "data" / "train")
    found = RunRecord(stage="corpus", fingerprint="f", recipe="domain", identity={}, inputs={}, lineage={})
    (tmp_path / RECORD).write_text(found.model_dump_json(), "utf-8")
    with pytest.raises(HubError, match="no org/speed-corpus: there would be nothing to show"):
        space.push(hub, "org")
    corpus = hub.publish("dataset", "org/speed-corpus", tmp_path, message="corpus", tag="run-1")
    published = Published(hub, "org")
    rows, command = Rows(published), "hub-speed run domain --org org --only embedder"
    assert (published.training(), published.can_write(), published.has_embedder()) == ("corpus", False, False)
    assert rows.sets() == [("passages", "corpus")] and rows.page()["total"] == 12
    assert "Oil the pump" in render("data.rows", rows.page())
    assert command in render("page.head", published.versions()) and "quickstart" not in str(published.versions())
    numbers = render("data.numbers", data.numbers_of(rows))
    assert "passage, text" in numbers and "What became" not in numbers
    assert [box["version"] for box in figures.lineage(published)["boxes"]] == [corpus.version]
    lines = render("use.lines", lines_of(published))
    assert "passages = load_dataset" in lines and command in lines and "SentenceTransformer" not in lines
    assert search.some_rows(rows)["texts"] and not search.some_rows(rows)["queries"]
    models = Models(published)
    drawn = show("data.map", lambda: data.query_map(rows, models, "style"))()
    assert command in drawn and "sx-note" in drawn and "alert" not in drawn
    with pytest.raises(NotMade, match="hub-speed run domain --org org --only questions"):
        rows.page("questions")
    with pytest.raises(NotMade, match="hub-speed run quickstart --org org --only seed"):
        rows.page("seed")
    assert space.push(hub, "org").repo == "org/speed-explorer"


def test_the_rows_that_the_embedder_was_trained_on_come_first(local: LocalHub, tmp_path: Path) -> None:
    from looks import render
    from published import Published
    from rows import Rows
    from use import lines_of

    hub = Hub(local.endpoint)
    stages = {made.repo("org"): name for name, made in STAGES.items()}

    def publish(stage: str, inputs: dict[str, Ref], text: str = "") -> Ref:
        made = STAGES[stage]
        lineage = {ref.version: Ancestor(stage=stages[ref.repo]) for ref in inputs.values()}
        identity = {"recipe": {"embedder": {}, "languages": {"German": 1}}}
        found = RunRecord(stage=stage, fingerprint=text, recipe="r", identity=identity, inputs=inputs, lineage=lineage)
        found.by_task_type = {"retrieval": 1}
        (folder := tmp_path / stage).mkdir(exist_ok=True)
        (folder / RECORD).write_text(found.model_dump_json(), "utf-8")
        return hub.publish(made.kind, made.repo("org"), folder, message=stage, tag=f"run-{text or 1}")

    drafts, questions = publish("synthesize", {}), publish("questions", {})
    revised, filtered = publish("revise", {"synthesize": drafts}), publish("filter", {"questions": questions})
    for number, (data, first) in enumerate(((filtered, "filter"), (revised, "revise"))):
        publish("embedder", {"data": data}, str(number))
        published = Published(hub, "org")
        assert (published.training(), published.of_documents()) == (first, first == "filter")
        assert published.can_write() and published.lineage()["synthesize"] == drafts
        assert {name for _, name in Rows(published).sets()} == {"revise", "synthesize", "filter", "questions"}
        assert data.repo in str(lines_of(published)["blocks"]) and not lines_of(published)["apart"]
    publish("embedder", {"data": drafts}, "2")
    published = Published(hub, "org")
    assert published.training() == "revise"
    assert f'not trained on these rows, but on <a href="{published.url(drafts)}' in render(
        "use.lines", lines_of(published)
    )


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=12))
def test_no_arrow_of_a_lineage_goes_through_a_box(sources: list[list[int]]) -> None:
    from layout import BOX, HEIGHT, lay_out

    names = {f"n{i}": sorted({f"n{s % i}" for s in mine} if i else set()) for i, mine in enumerate(sources)}
    places, arrows, width, height = lay_out(names)
    assert places.keys() == names.keys()
    assert len(arrows) == sum(map(len, names.values()))
    for x, y in places.values():
        assert BOX / 2 <= x <= width - BOX / 2 and HEIGHT / 2 <= y <= height - HEIGHT / 2
    for points in arrows:
        assert all(y0 < y1 for (_, y0), (_, y1) in pairwise(points))  # downwards
        for x, y in points[1:-1]:
            assert not any(abs(x - bx) < BOX / 2 and abs(y - by) < HEIGHT / 2 - 1 for bx, by in places.values())


def test_bm25_prefers_rare_words_and_short_texts() -> None:
    from embedders import bm25

    texts = ["helium is a gas", "neon is a gas", "helium is a gas that fills balloons and ships of the air", "soil"]
    helium, nothing = bm25(["what is helium", "zzz"], texts)
    assert helium.argmax() == 0 and helium[2] > helium[1] > helium[3] == 0
    assert not nothing.any()


def test_a_benchmark_becomes_examples_with_their_answers() -> None:
    from search import EXAMPLES, TEXTS, _questions

    corpus = [{"_id": f"d{i}", "title": "", "text": f"text  {i}"} for i in range(500)]
    queries = [{"_id": f"q{i}", "text": f"question {i}"} for i in range(100)]
    qrels = [{"query-id": f"q{i}", "corpus-id": f"d{5 * i}", "score": 1} for i in range(100)]
    qrels += [{"query-id": "q0", "corpus-id": "gone", "score": 1}, {"query-id": "q1", "corpus-id": "d0", "score": 0}]
    found = _questions(corpus, queries, qrels, "b: ")
    assert len(found) == EXAMPLES
    for one in found:
        (query,), texts = one["queries"], one["texts"]
        assert one["answers"][query][0] in texts and len(set(texts)) == len(texts) <= TEXTS
        assert one["answers"][query] == [f"text {5 * int(query.split()[1])}"]


def test_uploads_are_bounded_and_read_line_by_line(tmp_path: Path) -> None:
    from search import MAX_FILE_BYTES, MAX_TEXTS, texts_of

    lines, objects, wrong, large = (tmp_path / name for name in ("a.txt", "b.jsonl", "c.jsonl", "d.txt"))
    lines.write_text("one\n\n two  words \n" + "x\n" * 999)
    objects.write_text('{"text": "one"}\n{"text": 2}\n')
    wrong.write_text("[]\n")
    large.write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    assert texts_of(lines)[:2] == ["one", "two words"] and len(texts_of(lines)) == MAX_TEXTS
    assert texts_of(objects) == ["one", "2"]
    for path, said in ((wrong, "cannot be read"), (large, "too large")):
        with pytest.raises(space.HubSpeedError, match=said):
            texts_of(path)


def test_the_map_keeps_the_two_main_axes() -> None:
    from figures import plane

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 6)) * [9, 3, 0.1, 0.1, 0.1, 0.1]
    places, shares = plane(vectors)
    assert places.shape == (50, 2) and places.min() == 0 and places.max() == pytest.approx(1)
    assert shares[0] > 0.7 and sum(shares) > 0.99
    assert abs(np.corrcoef(places[:, 0], vectors[:, 0])[0, 1]) > 0.95
    assert len(TASK_TYPES) <= 6  # as many colours as there are
