"""More rows later: the set of a single run, of which only the new rows are asked for; and what cannot grow says so."""

from pathlib import Path
from typing import Any

import pytest
from fake_openai import FakeOpenAI
from toy_stages import Toy

from hub_speed import parquet
from hub_speed.errors import RecipeError
from hub_speed.generation import shards
from hub_speed.hub import Hub
from hub_speed.localhub import LocalHub
from hub_speed.pipeline.extend import check
from hub_speed.pipeline.plan import plan
from hub_speed.pipeline.ranked import Ranked
from hub_speed.pipeline.run import Result, run
from hub_speed.recipe import Recipe
from hub_speed.rows import TaskRow

TASKS = [{"id": f"t{i}", "task_type": "sts", "task": "Find it", "topic": f"Arts/Topic_{i}"} for i in range(200)]
CHAIN = ("seed", "junior", "root", "preference", "senior", "revision", "revisor", "synthesize", "revise")
PUT = ("seed", "junior", "senior", "revisor")


def sized(toy: Toy, signals: int, drafts: int, **revision: Any) -> Recipe:
    """A recipe of so many preferences and revisions, with twice as many root rows."""
    return toy.recipe(
        checks="form",
        root={"rows": 2 * signals, "candidates": 3},
        preference={"rows": signals, "judge": "both_orders", "stock_share": 0.04},
        revision={"rows": signals} | revision,
        synthesize={"rows": drafts},
    )


def test_a_set_that_grows_is_that_of_a_single_run(
    tmp_path: Path, server: FakeOpenAI, local: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One organisation makes a small chain and then more of each stage, the other makes the larger one at once."""
    monkeypatch.setattr(parquet, "ROWS_PER_FILE", 8)
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 5)
    toy = Toy(tmp_path, server, Hub(str(local.endpoint)))
    small, large, more_drafts = sized(toy, 10, 24), sized(toy, 18, 40), sized(toy, 10, 40)
    smaller: dict[str, tuple[Result, set[str]]] = {}
    for org, recipe in (("grown", small), ("whole", large)):
        toy.begin(org)
        toy.put_rows(recipe, "brainstorm", TaskRow, TASKS, org)
        for name in CHAIN:
            if name in PUT:
                toy.put(recipe, name, lambda folder: None, org)
                continue
            before, whole = len(server.asked), toy.run(recipe, name, org)
            asked, before = set(server.prompts()[before:]), len(server.asked)
            if org == "grown":
                smaller[name] = whole, asked
                continue
            if name in ("synthesize", "revise"):
                grown = toy.run_ranks(more_drafts, name, 2, "grown", extend=True)
            else:
                grown = toy.run(large, name, "grown", extend=True)
            (first, earlier), files = smaller[name], toy.files(whole)
            assert toy.files(grown) == files and grown.record.extends == first.ref.version, name
            for field in ("accepted", "rows_in", "rejected", "by_task_type", "calls"):
                assert getattr(grown.record, field) == getattr(whole.record, field), (name, field)
            assert set(server.prompts()[before:]) == asked - earlier, name
            if name != "preference":  # with more candidates, other phrases are stock phrases
                full = list(toy.files(first).items())[:-1]  # these need not be sent again
                assert full and full == list(files.items())[: len(full)], name


def test_what_does_not_grow_is_said_before_anything_is_asked(
    tmp_path: Path, server: FakeOpenAI, local: LocalHub
) -> None:
    toy = Toy(tmp_path, server, Hub(str(local.endpoint)))
    toy.begin()

    def put(recipe: Recipe, *names: str, extends: str = "") -> str:
        return [toy.put(recipe, name, lambda folder: None, extends=extends) for name in names][-1].version

    def refused(recipe: Recipe, stage: str, *, by_ranks: bool = False) -> RecipeError:
        session = toy.session()
        session.extend = True
        with pytest.raises(RecipeError, match=f"--extend: {stage} ") as caught:
            Ranked(recipe, session, stage, 2, None) if by_ranks else run(recipe, session, only=stage)
        assert server.asked == [] and caught.value.exit_code == 2
        return caught.value

    best = {"candidate": "best"}
    recipe, smallest = sized(toy, 30, 24), sized(toy, 10, 24)
    assert "would ask for all its rows" in refused(recipe, "brainstorm", by_ranks=True).where
    root = put(smallest, "brainstorm", "seed", "junior", "root")
    preference = put(smallest, "preference")
    put(smallest, "senior")
    put(sized(toy, 10, 24, **best), "revision")
    assert "has no version" in refused(toy.recipe(checks="form", root={"rows": 60, "candidates": 4}), "root").where
    root = put(sized(toy, 20, 24), "root", extends=root)
    put(recipe, "root", extends=root)
    session = toy.session()
    steps = plan(recipe, session, "preference")
    check(steps, recipe, session)  # the first preferences come from the smallest root
    put(recipe, "preference", extends=preference)
    refused(sized(toy, 30, 24, **best), "revision", by_ranks=True)  # what is judged now is revised otherwise
    assert refused(sized(toy, 30, 48), "synthesize").got.startswith("senior: ")


def test_the_largest_of_several_versions_is_extended(tmp_path: Path, server: FakeOpenAI, local: LocalHub) -> None:
    """A small trial that came last does not cost the rows of the others once more."""
    toy = Toy(tmp_path, server, Hub(str(local.endpoint)))
    toy.begin()
    toy.put(toy.recipe(), "brainstorm", lambda folder: None)
    sizes = (20, 30, 10, 90)
    refs = [toy.put(toy.recipe(seed={"rows": n}), "seed", lambda folder: None, rows=n) for n in sizes]
    session, recipe = toy.session(), toy.recipe(seed={"rows": 60})
    session.extend = True
    assert Ranked(recipe, session, "seed", 2, None).extends == refs[1]
    with pytest.raises(RecipeError, match="--from seed: not together with --extend") as caught:
        run(recipe, session, only="seed", again_from="seed")
    assert server.asked == [] and caught.value.exit_code == 2
