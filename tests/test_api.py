"""The Python functions: a notebook's lines on the embedded Hub, and rows written without a recipe."""

import asyncio
import json
import os
import shutil
import signal
import textwrap
from pathlib import Path

import pytest
from fake_openai import Asked, FakeOpenAI
from running import Cli

import hub_speed
from hub_speed import api
from hub_speed.errors import RecipeError, StageError
from hub_speed.parquet import write_parquet
from hub_speed.rows import SkippedRow

TASKS = ["Given a dish, find the passage that says how to cook it.", "Given a river, find the towns it passes."]
SMALL = {"brainstorm.topics": "quickstart-topics", "seed.rows": 40, "runtime.max_reject_rate": 1.0}


def test_a_second_sigterm_is_the_first_again_and_a_second_ctrl_c_is_in_a_hurry() -> None:
    with api.sessions.stopping() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def notebook(cli: Cli, code: str) -> str:
    """Run lines of a notebook in a process of their own: Hub clients read their settings when they are imported."""
    return cli.alone(textwrap.dedent(code))


def test_a_notebook_in_eight_lines_gets_what_the_command_line_prints(cli: Cli) -> None:
    out = notebook(
        cli,
        f"""
        import hub_speed, json
        hub = hub_speed.open_hub()
        recipe = hub_speed.load_recipe("quickstart", set={SMALL})
        planned = hub_speed.plan(recipe, hub, only="seed")
        seed = hub_speed.run(recipe, hub, only="seed")[-1]
        rows = list(hub_speed.load_rows(seed.ref.repo, hub))
        report = hub_speed.quality([seed.ref.repo], hub)[0]
        hub.close()
        print(json.dumps([[step.why for step in planned.steps], seed.record.accepted, rows, report.rows]))
        """,
    )
    why, accepted, rows, measured = json.loads(out)
    assert why == ["new", "after brainstorm"]
    assert accepted == len(rows) == measured > 20
    printed = cli("rows", "speed-demo/speed-seed", "--json", "-n", "1000")
    assert [json.loads(line) for line in printed.splitlines()] == rows


def test_load_rows_gives_what_rows_prints(seeded: Cli) -> None:
    cli = seeded
    asked = [
        {"limit": 3},
        {"task_type": "sts", "limit": 4},
        {"state": "accepted", "limit": 2},
        {"reason": "bad_json", "limit": 2},
        {"revision": "main", "limit": 0},
    ]
    lists = notebook(
        cli,
        f"""
        import hub_speed, json
        with hub_speed.open_hub() as hub:
            print(json.dumps([list(hub_speed.load_rows("speed-demo/speed-seed", hub, **each)) for each in {asked}]))
        """,
    )
    for each, rows in zip(asked, json.loads(lists), strict=True):
        flags = [part for name, value in each.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        flags = ["-n" if flag == "--limit" else flag for flag in flags]
        printed = cli("rows", "speed-demo/speed-seed", "--json", *flags)
        assert [json.loads(line) for line in printed.splitlines()] == rows, each


def test_after_a_failed_stage_the_same_session_runs_again(cli: Cli) -> None:
    out = notebook(
        cli,
        f"""
        import hub_speed
        from hub_speed import api
        from hub_speed.errors import NotFound
        bad = hub_speed.load_recipe("quickstart", set={SMALL | {"brainstorm.topics": "nowhere"}})
        good = hub_speed.load_recipe("quickstart", set={SMALL})
        with hub_speed.open_hub() as hub, api.open_session(good, hub, publish=True) as (session, pinned):
            from hub_speed.pipeline.run import run
            try:
                run(bad, session, only="seed")
            except NotFound:
                print("failed", session.stop.is_set())
            print([result.stage.name for result in run(pinned, session, only="seed")])
        """,
    )
    assert out.splitlines() == ["failed False", "['brainstorm', 'seed']"]


def test_closing_a_hub_restores_the_environment(cli: Cli) -> None:
    out = notebook(
        cli,
        """
        import hub_speed, os
        os.environ["HF_TOKEN"] = "of the user"
        os.environ.pop("HF_ENDPOINT", None)
        before = dict(os.environ)
        hub = hub_speed.open_hub()
        print(os.environ["HF_ENDPOINT"] == hub.endpoint, os.environ["HF_TOKEN"] == "of the user")
        hub.close()
        hub.close()
        print(dict(os.environ) == before)
        with hub_speed.open_hub("http://127.0.0.1:9/") as hub:
            print(os.environ["HF_ENDPOINT"])
        print(dict(os.environ) == before)
        """,
    )
    assert out.split() == ["True", "False", "True", "http://127.0.0.1:9", "True"]


def test_a_client_that_was_imported_before_is_named(cli: Cli) -> None:
    out = notebook(
        cli,
        """
        import huggingface_hub.constants, hub_speed
        from hub_speed.errors import HubError
        try:
            hub_speed.open_hub()
        except HubError as error:
            print(error)
        """,
    )
    assert "imported already" in out and "open the Hub first" in out


def test_fields_are_set_by_a_mapping_or_as_flags() -> None:
    changed = {"seed.rows": 7, "mixture": {"sts": 1}, "teacher.model": "m", "senior.learning_rate": 1e-7}
    recipe = hub_speed.load_recipe("quickstart", set=changed)
    assert (recipe.seed.rows, recipe.mixture, recipe.teacher.model) == (7, {"sts": 1}, "m")
    flags = ["seed.rows=7", "mixture={sts: 1}", "teacher.model=m", "senior.learning_rate=0.0000001"]
    assert hub_speed.load_recipe("quickstart", set=flags) == recipe
    with pytest.raises(RecipeError, match="did you mean rows"):
        hub_speed.load_recipe("quickstart", set={"seed.row": 7})


def test_the_package_names_its_functions() -> None:
    assert all(getattr(hub_speed, name) is getattr(api, name) for name in hub_speed.__all__ if name != "__version__")
    with pytest.raises(AttributeError, match="nothing_like_that"):
        _ = hub_speed.nothing_like_that


# --- rows without a recipe --------------------------------------------------------------------------------------------


def answer(asked: Asked) -> str:
    """A retrieval example, or the query and the negative of a passage; every fourth prompt gets no JSON."""
    words = f"{asked.prompt[-40:]} " * 400
    if sum(asked.prompt.encode()) % 4 == 0:
        return "no JSON"
    query = f"river {sum(asked.prompt.encode())}"
    if "Passage:" in asked.prompt:
        return json.dumps({"user_query": query, "hard_negative_document": "Another town lies by the sea."})
    documents = {"positive_document": f"Good. {words}", "hard_negative_document": f"Bad. {words}"}
    return json.dumps({"user_query": query} | documents)


@pytest.fixture
def server(server: FakeOpenAI) -> FakeOpenAI:
    server.answer = answer
    return server


def test_rows_from_tasks(server: FakeOpenAI) -> None:
    made = hub_speed.generate(tasks=TASKS, rows=40, endpoint=server.url, model="m", runtime={"reask": False})
    assert len(made.rows) + len(made.rejected) == 40 and made.rows and made.rejected
    assert {row["instruction"] for row in made.rows} == set(TASKS)
    assert all(row["query"].startswith("river") and row["positive"].startswith("Good") for row in made.rows)
    assert "bad_json" in {line["reason"] for line in made.rejected}
    assert {row["generator"] for row in made.rows} == {"m"}


def test_the_same_call_goes_on_and_more_rows_keep_the_earlier_ones(server: FakeOpenAI, tmp_path: Path) -> None:
    def make(rows: int, tasks: list[str] = TASKS) -> api.Generated:
        return hub_speed.generate(
            tasks=tasks, rows=rows, endpoint=server.url, model="m", folder=tmp_path / "work", runtime={"reask": False}
        )

    few = make(10)
    asked = len(server.asked)
    many = make(30)
    assert len(server.asked) == asked + 20
    assert many.rows[: len(few.rows)] == few.rows
    assert make(10) == few and len(server.asked) == asked + 20
    with pytest.raises(StageError, match="another recipe"):
        make(10, TASKS[:1])


def test_rows_from_passages(server: FakeOpenAI) -> None:
    passages = [f"Town {i} lies at the mouth of the river." for i in range(12)]
    made = hub_speed.generate(passages=passages, endpoint=server.url, model="m", runtime={"reask": False})
    assert len(made.rows) + len(made.rejected) == 12 and made.rows
    for row in made.rows:
        assert row["positive"] == passages[int(row["id"].split("-")[1])] and row["positive"] in row["prompt"]
        assert row["negative"] == "Another town lies by the sea."
    few = hub_speed.generate(passages=passages, rows=3, endpoint=server.url, model="m", runtime={"reask": False})
    assert few.rows == [row for row in made.rows if row["id"] < "passage-0000003"]


def test_a_copy_of_the_prompt_is_rejected_and_shown_with_it(server: FakeOpenAI) -> None:
    copied = {
        "user_query": "a search query that this passage answers",
        "hard_negative_document": "The sea is far away.",
    }
    server.answer = lambda asked: json.dumps(copied)
    made = hub_speed.generate(passages=["Town lies at the river."], endpoint=server.url, model="m")
    (line,) = made.rejected
    assert (line["reason"], line["detail"]) == ("echo", "user_query: 'a search query that this passage answers'")
    assert line["prompt"] == server.asked[0].prompt


def test_generate_works_beside_a_notebooks_event_loop(server: FakeOpenAI) -> None:
    async def cell() -> int:
        made = hub_speed.generate(tasks=TASKS, rows=4, endpoint=server.url, model="m")
        return len(made.rows) + len(made.rejected)

    assert asyncio.run(cell()) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_type": "retreival"}, "did you mean retrieval"),
        ({"tasks": []}, "tasks or passages"),
        ({"rows": 0}, "at least 1"),
        ({"passages": ["a"], "rows": 2}, "one row for each passage"),
        ({"passages": ["a"], "task_type": "sts"}, "task_type retrieval"),
        ({"knobs": {"lengths": ["short"]}}, "lengths"),
        ({"teacher": {"max_tokens": 0}}, "teacher.max_tokens"),
        ({"endpoint": "ftp://x"}, "http://"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_asked(
    server: FakeOpenAI, changes: dict[str, object], words: str
) -> None:
    arguments = {"tasks": TASKS, "endpoint": server.url, "model": "m"} | changes
    with pytest.raises(RecipeError, match=words):
        hub_speed.generate(**arguments)  # type: ignore[arg-type]
    assert server.asked == []


def test_a_key_goes_to_the_server_and_nowhere_else(server: FakeOpenAI, tmp_path: Path) -> None:
    made = hub_speed.generate(
        tasks=TASKS, rows=4, endpoint=server.url, model="m", key="sk-secret\n", folder=tmp_path / "work"
    )
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer sk-secret"}
    assert "sk-secret" not in repr(made) + (tmp_path / "work" / "ledger.sqlite").read_bytes().decode("latin-1")
    assert "sk-secret" not in repr(dict(os.environ))


def test_hubs_that_are_closed_out_of_order_leave_each_other_alone(cli: Cli, tmp_path: Path) -> None:
    out = notebook(
        cli,
        f"""
        import hub_speed, os
        os.environ.pop("HF_ENDPOINT", None)
        before = dict(os.environ)
        one, other = hub_speed.open_hub(), hub_speed.open_hub(home={str(tmp_path / "other")!r})
        one.close()
        print(os.environ["HF_ENDPOINT"] == other.endpoint)
        other.close()
        print({{name for name in {{*before, *os.environ}} if before.get(name) != os.environ.get(name)}})
        """,
    )
    assert out.splitlines() == ["True", "set()"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"state": "rejectd"}, "rejected"),
        ({"reason": "label_leek"}, "label_leak"),
        ({"task_type": "retreival"}, "retrieval"),
        ({"limit": -1}, "0 or more"),
    ],
)
def test_rows_that_cannot_be_are_not_looked_for(tmp_path: Path, given: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        hub_speed.load_rows(tmp_path, **given)


def test_a_corpus_has_no_ledger_and_says_where_what_it_left_out_is(tmp_path: Path) -> None:
    for name in ("data", "documents", "skipped"):
        write_parquet([{"source": "a.md", "reason": "empty", "detail": ""}], SkippedRow, tmp_path / name)
    with pytest.raises(RecipeError, match=r'there is no ledger(.|\n)*data, documents, skipped(.|\n)*, "skipped"'):
        list(hub_speed.load_rows(tmp_path, state="rejected"))
    shutil.rmtree(tmp_path / "skipped")
    with pytest.raises(RecipeError, match="no document was skipped"):
        list(hub_speed.load_rows(tmp_path, state="rejected"))
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(RecipeError, match="there is no data"):
        list(hub_speed.load_rows(tmp_path))


def test_a_value_is_taken_as_it_is() -> None:
    assert hub_speed.load_recipe("quickstart", set={"license": "1.5"}).license == "1.5"
    assert hub_speed.load_recipe("quickstart", set={"scaling.sizes": [6, 12]}).scaling.sizes == (6, 12)
    with pytest.raises(RecipeError, match="seed"):
        hub_speed.load_recipe("quickstart", set="seed.rows=10")
