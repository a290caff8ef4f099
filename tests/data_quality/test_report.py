"""Every measure moves the way it says, on sets made for it; and the command, on any dataset."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_sets import Rows, look, number, random_rows, write
from running import Cli

from hub_speed.data_quality import measures, sample
from hub_speed.data_quality.measures import OF_NEGATIVES
from hub_speed.data_quality.report import ENOUGH, EXAMPLES, measure
from hub_speed.errors import RecipeError

TEXTS = pa.schema([("query", pa.string()), ("positive", pa.string()), ("negative", pa.string())])


# --- variety --------------------------------------------------------------------------------------------------------


def test_fewer_words_to_choose_from_is_less_variety(tmp_path: Path) -> None:
    found = [look(tmp_path / str(size), random_rows(300, size)) for size in (1000, 200, 40)]
    for name in ("distinct_1", "distinct_2", "query_variety", "positive_variety"):
        rich, middle, poor = (number(each, name) for each in found)
        assert rich > middle > poor, name
    for name in ("compression", "query_similarity"):
        rich, middle, poor = (number(each, name) for each in found)
        assert rich < middle < poor, name


def test_rows_that_come_again_are_seen(tmp_path: Path) -> None:
    rows = random_rows(200, 2000)
    fresh = look(tmp_path / "fresh", rows)
    again = look(tmp_path / "again", [rows[i // 10] | {"id": f"r{i}", "task": f"t{i % 2}"} for i in range(200)])
    assert number(fresh, "query_twins") == number(fresh, "positive_twins") == 0
    # 20 texts, each ten times: 9 of the 199 others are the same, and 5 of those 9 belong to the other task.
    assert number(again, "query_twins") == number(again, "positive_twins") == pytest.approx(1000 * 9 / 199, abs=1e-3)
    assert number(again, "twins_across_tasks") == pytest.approx(5 / 9, abs=1e-3)
    assert number(again, "query_variety") < number(fresh, "query_variety") / 2
    assert number(again, "query_variety") == pytest.approx(20, rel=0.2)


def test_the_size_of_a_set_decides_nothing(tmp_path: Path) -> None:
    small, large = (look(tmp_path / str(n), random_rows(n, 300, seed=n)) for n in (250, 1000))
    for name in ("distinct_1", "distinct_2", "compression", "query_similarity", "query_variety", "positive_variety"):
        assert number(small, name) == pytest.approx(number(large, name), rel=0.05), name


# --- how the texts of a row relate ----------------------------------------------------------------------------------


def test_positives_of_other_rows_are_unrelated(tmp_path: Path) -> None:
    rows = random_rows(200, 2000)
    strangers = [row | {"positive": rows[i - 1]["positive"]} for i, row in enumerate(rows)]
    good, bad = look(tmp_path / "good", rows), look(tmp_path / "bad", strangers)
    assert number(good, "unrelated") == 0
    assert bad["unrelated"] is None  # no word in common in most rows: nothing can be said
    half = look(tmp_path / "half", [*rows[:120], *strangers[120:]])
    assert number(half, "unrelated") == pytest.approx(0.4, abs=0.05)  # a few share a word by chance


def test_negatives_hard_easy_and_false(tmp_path: Path) -> None:
    rows = random_rows(200, 2000)
    hard = look(tmp_path / "hard", rows)
    easy = look(tmp_path / "easy", [row | {"negative": rows[i - 1]["negative"]} for i, row in enumerate(rows)])
    false = look(tmp_path / "false", [row | {"negative": row["query"] + " too"} for row in rows])
    assert (number(hard, "easy_negatives"), number(hard, "negative_closer")) == (0, pytest.approx(0, abs=0.05))
    assert number(easy, "easy_negatives") > 0.9
    assert number(false, "negative_closer") == 1
    (report,) = measure([tmp_path / "false"])
    assert len(report.examples["negative_closer"]) == EXAMPLES
    assert max(report.margins["all"]) < 0


def test_pairs_have_no_measures_of_negatives(cli: Cli, tmp_path: Path) -> None:
    pairs = [{name: row[name] for name in ("query", "positive")} for row in random_rows(200, 2000)]
    (report,) = measure([write(tmp_path / "pairs", pairs)])
    found = report.by_task_type["all"]
    assert (report.rows, report.negatives, [found[name] for name in OF_NEGATIVES]) == (200, 0, [None] * 3)
    assert found["query_variety"] and found["overlap"] is not None
    out = cli("quality", str(tmp_path / "pairs"))
    assert "no row has a negative; left out: easy negatives, negative closer, contradictions" in " ".join(out.split())
    assert out.count("easy negatives") == 1


def test_a_negative_that_is_elsewhere_the_answer_is_a_contradiction(tmp_path: Path) -> None:
    rows = random_rows(10, 2000)
    rows[3] |= {"query": rows[7]["query"].upper(), "negative": rows[7]["positive"] + "!"}
    rows[5] |= {"negative": rows[6]["positive"]}  # of another query: fine
    (report,) = measure([write(tmp_path, rows)])
    assert report.by_task_type["all"]["contradictions"] == 0.1
    assert report.examples["contradictions"] == ["r3"]


def test_copied_words_and_labels(tmp_path: Path) -> None:
    def row(kind: str, query: str, positive: str) -> dict[str, Any]:
        return {"task_type": kind, "query": query, "positive": positive, "negative": None}

    rows = [row("retrieval", "red fox", "a fox in snow"), row("retrieval", "blue fox", "an owl")]
    rows += [row("classification", "the wild fox ran off", "wild animal"), row("classification", "it ran off", "owl")]
    (report,) = measure([write(tmp_path, rows)])
    found = {kind: sorted(values) for kind, values in report.overlaps.items()}
    assert found == {"classification": [0.0, 0.5], "retrieval": [0.0, 0.5]}
    assert report.by_task_type["retrieval"]["overlap"] == 0.25


# --- lengths, scripts, coverage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "knobs", "words", "expected"),
    [
        ("retrieval", {"query_length": "less than 5 words", "min_words": "3"}, (4, 3, 2), 2 / 3),
        ("retrieval", {"query_length": "5 to 9 words", "min_words": "3"}, (10, 2, 2), 0),
        ("classification", {"text_length": "at least 10 words"}, (10, 1, 1), 1),
        ("long_matching", {"min_words": "20"}, (20, 19, 0), 1 / 2),
        ("sts", {"unit": "sentence"}, (5, 5, 5), None),
    ],
)
def test_lengths_are_those_asked_for(
    tmp_path: Path, kind: str, knobs: dict[str, str], words: tuple[int, int, int], expected: float | None
) -> None:
    query, positive, negative = (" ".join(["word"] * n) for n in words)
    row = {"task_type": kind, "knobs": json.dumps(knobs), "query": query, "positive": positive, "language": "English"}
    found = look(tmp_path / "a", [row | {"negative": negative or None}], kind)["in_range"]
    assert found == (expected if expected is None else pytest.approx(expected, abs=1e-4))
    unspaced = look(tmp_path / "b", [row | {"negative": negative or None, "language": "Thai"}], kind)
    assert unspaced["in_range"] is None


def test_texts_in_another_script(tmp_path: Path) -> None:
    row = {"query": "where is it", "positive": "here it is", "negative": "over there", "language": "English"}
    rows = [row, row | {"positive": "вот оно где"}, row | {"language": "Klingon", "query": "ないよ"}]
    rows += [row | {"language": "English", "target_language": "Russian", "positive": "здесь", "negative": "там"}]
    schema = pa.schema([*TEXTS, ("language", pa.string()), ("target_language", pa.string())])
    (report,) = measure([write(tmp_path, rows, schema)])
    assert report.by_task_type["all"]["wrong_script"] == pytest.approx(1 / 3, abs=1e-4)  # of an unknown language: none
    assert report.examples["wrong_script"] == ["row 1"]


def test_coverage_counts_every_row_and_tasks_that_are_used_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "SAMPLE", 50)
    rows = [
        row | {"task_type": "sts" if i % 2 else "retrieval", "task": f"t{i % 20}", "topic": f"T{i % 4}/x"}
        for i, row in enumerate(random_rows(5000, 500))
    ]
    (report,) = measure([write(tmp_path, rows)])
    assert report.coverage == {"retrieval": {"T0": 1250, "T2": 1250}, "sts": {"T1": 1250, "T3": 1250}}
    assert (report.rows, report.sampled, report.tasks) == (5000, 100, 20)
    assert report.effective_tasks == pytest.approx(20, rel=0.01)
    skewed = [row | {"task": row["task"] if i < 500 else "t0"} for i, row in enumerate(rows)]
    (report,) = measure([write(tmp_path / "skewed", skewed)])
    assert report.effective_tasks is not None
    assert report.effective_tasks < 6


# --- a report as a whole --------------------------------------------------------------------------------------------

NAMES = ("task_type", "task", "topic", "language", "knobs", "query", "positive", "negative")
ANY = st.fixed_dictionaries(
    {
        "task_type": st.sampled_from(["retrieval", "classification", "sts", "other"]),
        "task": st.sampled_from(["t", "u"]),
        "topic": st.sampled_from(["", "A", "A/B", "C"]),
        "language": st.sampled_from(["English", "Thai", "Russian", "?"]),
        "knobs": st.sampled_from(["", "{}", '{"min_words": "3", "query_length": "less than 5 words"}']),
        "query": st.text(max_size=12),
        "positive": st.text(max_size=12),
        "negative": st.none() | st.text(max_size=12),
    }
)


def numbers_in(value: Any) -> Iterator[float]:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from numbers_in(inner)
    if isinstance(value, int | float):
        yield float(value)


@settings(max_examples=60)
@given(rows=st.lists(ANY, max_size=12))
def test_any_rows_give_a_report_that_is_json_and_within_bounds(
    rows: Rows, tmp_path_factory: pytest.TempPathFactory
) -> None:
    schema = pa.schema([(name, pa.string()) for name in NAMES])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hub_speed.data_quality.report.ENOUGH", 2)
        patch.setattr(measures, "RUN", 4)
        (report,) = measure([write(tmp_path_factory.mktemp("any"), rows, schema)])
    found = json.loads(json.dumps(report.numbers(), allow_nan=False))
    assert found == report.numbers()
    assert report.rows == report.sampled == len(rows) == sum(numbers_in(report.coverage))
    for numbers in found["by_task_type"].values():
        assert list(numbers) == list(measures.MEASURES)
        for name, value in numbers.items():
            if value is not None:
                assert value >= 0 if not measures.MEASURES[name].share else 0 <= value <= 1, name
        for name in ("query_variety", "positive_variety"):
            assert numbers[name] is None or numbers[name] >= 0.999, name


def test_few_rows_say_little_and_none_say_nothing(tmp_path: Path) -> None:
    few = look(tmp_path / "few", random_rows(ENOUGH - 1, 100))
    assert few["query_variety"] is few["distinct_1"] is few["query_twins"] is None
    assert few["overlap"] is not None
    (report,) = measure([write(tmp_path / "none", [], TEXTS)])
    assert (report.rows, report.by_task_type) == (0, {})
    assert set(measures.overall(report.numbers()).values()) == {None}


# --- any dataset ----------------------------------------------------------------------------------------------------


def test_the_command_looks_at_folders_and_repositories(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "rich" / "data", random_rows(150, 1000))
    write(tmp_path / "poor", random_rows(150, 30))
    (tmp_path / "rich" / "ledger").mkdir()
    (tmp_path / "rich" / "ledger" / "train-00000.parquet").write_bytes(b"not to be read")
    cli.python(
        "from huggingface_hub import HfApi\n"
        "HfApi().create_repo('me/poor', repo_type='dataset')\n"
        f"HfApi().upload_folder(repo_id='me/poor', repo_type='dataset', folder_path={str(tmp_path / 'poor')!r})"
    )
    rich, poor = json.loads(cli("quality", str(tmp_path / "rich"), "me/poor@main", "--json"))
    assert (rich["rows"], poor["rows"], poor["set"]) == (150, 150, "me/poor@main")
    assert rich["overall"]["query_variety"] > poor["overall"]["query_variety"]
    out = cli("quality", "me/poor")
    assert "150 rows, 150 measured" in " ".join(out.split())
    assert all(measure.label in out and measure.meaning in out for measure in measures.MEASURES.values())
    assert "no column query" in cli("quality", str(write(tmp_path / "x", [{"a": "b"}])), code=2)
    assert "not found" in cli("quality", "me/nobody", code=4)


def test_a_sentence_transformer_compares_what_words_cannot(cli: Cli, tmp_path: Path) -> None:
    """A model that is untrained, and so finds texts alike by their tokens; the words of a row share none."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    from hub_speed.data_quality.encoder import encoder

    base = Transformer(str(Path(measures.__file__).parent.parent / "quickstart" / "tiny_base"))
    SentenceTransformer(modules=[base, Pooling(base.get_embedding_dimension())]).save(str(tmp_path / "model"))
    rows = [row | {"positive": row["query"].replace("w", "word"), "negative": None} for row in random_rows(120, 90000)]
    folder = write(tmp_path / "rows", rows, TEXTS)
    (by_words,) = measure([folder])
    by_model, _ = json.JSONDecoder().raw_decode(
        cli("quality", str(folder), "--json", "--model", str(tmp_path / "model"))
    )
    assert by_words.by_task_type["all"]["unrelated"] is None
    assert by_model[0]["overall"]["unrelated"] < 0.2
    assert by_model[0]["embedding"] == str(tmp_path / "model")
    assert by_model[0]["overall"]["distinct_1"] == by_words.by_task_type["all"]["distinct_1"]
    with pytest.raises(RecipeError, match="cannot be loaded"):
        encoder(str(tmp_path / "nowhere"))


def test_sets_of_others_are_measured_whatever_their_columns_hold(cli: Cli, tmp_path: Path) -> None:
    rows = random_rows(150, 300, task="find", topic="a/b", language="English")
    for i, row in enumerate(rows):
        row |= {"id": i, "task_type": None if i % 50 == 0 else "retrieval", "knobs": "not json" if i % 2 else "[1]"}
        row |= {"topic": None} if i % 7 == 0 else {}
        row |= {"positive": None} if i == 3 else {}
        row["negative"] = row["positive"] = rows[0]["positive"] if i % 10 == 0 else row["positive"]
    (report,) = measure([write(tmp_path / "odd", rows)])
    assert report.rows == 149 and {kind: sum(n.values()) for kind, n in report.coverage.items()} == {
        "retrieval": 146,
        "none": 3,
    }
    assert "149 rows" in " ".join(cli("quality", str(tmp_path / "odd")).split())
    wide = [row | {"task_type": 7, "topic": ["a"], "task": {"a": 1}} for row in random_rows(150, 300)]
    (report,) = measure([write(tmp_path / "wide", wide)])
    assert list(report.by_task_type) == ["all"] and not report.coverage
