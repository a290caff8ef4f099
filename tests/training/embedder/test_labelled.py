"""Labelled sets beside the synthetic rows: weights, instructions, and how they train."""

from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch")

from labelled_sets import labelled_set, like_e5s, source
from tiny_training import embedder_settings as settings
from tiny_training import some_rows, write

from hub_speed.hub import Hub
from hub_speed.localhub import LocalHub
from hub_speed.pipeline.table import STAGES
from hub_speed.recipes.loader import load
from hub_speed.stage import FromHub
from hub_speed.training.embedder import contrastive, labelled
from hub_speed.training.embedder.settings import LabelledSet


def test_labelled_rows_come_as_often_as_their_weight_says(tmp_path: Path) -> None:
    rows = [{"query": f"q{i}", "positive": [f"p{i}", "other"], "wrong": f"n{i}", "kind": i % 2} for i in range(40)]
    folder = labelled_set(tmp_path / "set", rows)
    for weight, max_rows, count in ((0.25, None, 10), (1.0, None, 40), (2.5, None, 100), (1.0, 7, 7)):
        sets = (source(folder, weight=weight, max_rows=max_rows, label="kind"),)
        found, mined = labelled.read(settings(tmp_path, tmp_path, labelled=sets, rng_seed=1))
        assert len(found) == count and mined == 0
        times = [sum(row["query"] == f"q{i}" for row in found) for i in range(40)]
        assert max(times) - min(times) <= 1
    assert {row["query"][1:] for row in found} == {row["positive"][1:] for row in found}
    assert all(row["negative"] == f"n{row['query'][1:]}" for row in found)
    assert {row["task_type"] for row in found} == {"them/set"} and {row["label"] for row in found} <= {"0", "1"}


def test_each_row_draws_its_instruction_whatever_other_rows_are_drawn(tmp_path: Path) -> None:
    rows = [{"query": f"q{i}", "positive": f"p{i}", "wrong": "n"} for i in range(60)]
    given = source(labelled_set(tmp_path / "set", rows), instruction=["one", "two", "three"])
    drawn = {}
    for weight in (1.0, 0.5):
        one = given.model_copy(update={"recipe": given.recipe.model_copy(update={"weight": weight})})
        found, _ = labelled.read(settings(tmp_path, tmp_path, labelled=(one,)))
        drawn[weight] = {row["id"]: row["instruction"] for row in found}
    assert len(drawn[0.5]) == 30 and drawn[0.5].items() <= drawn[1.0].items()
    counts = [list(drawn[1.0].values()).count(name) for name in given.recipe.instructions]
    assert sum(counts) == 60 and min(counts) > 8


def test_labelled_rows_train_beside_the_synthetic_ones(encoder: Path, tmp_path: Path) -> None:
    folder = labelled_set(
        tmp_path / "set",
        [{"query": row["query"], "positive": row["positive"], "wrong": "lazy"} for row in some_rows(20)],
    )
    write(some_rows(24), tmp_path / "data")
    given = settings(encoder, tmp_path, labelled=(source(folder, weight=0.5),))
    result = contrastive.train(given)
    assert result["mix"] == {"retrieval": 16, "short_matching": 8, "them/set": 10} and result["rows"] == 34


def test_labelled_sets_and_their_miner_are_inputs_of_the_embedder_alone() -> None:
    given = "embedder.labelled=[{repo: them/set, instruction: find it, license: mit}]"
    inputs = STAGES["embedder"].inputs(load("quickstart", [given, "embedder.miner_model=me/miner"]))
    assert inputs["labelled them/set"] == FromHub("dataset", "them/set") and inputs["miner"] == FromHub(
        "model", "me/miner"
    )
    with_negatives = given.replace("find it", "find it, negative: wrong")
    assert "miner" not in STAGES["embedder"].inputs(load("quickstart", [with_negatives]))
    assert set(STAGES["embedder"].inputs(load("quickstart"))) == {"data", "base"}
    assert not [name for name in STAGES["scaling"].inputs(load("quickstart", [given])) if name.startswith("labelled")]


def test_just_the_files_that_some_set_reads_are_fetched() -> None:
    def files(*patterns: str) -> tuple[str, ...]:
        sets = ", ".join(
            "{repo: them/set, instruction: find it, license: mit, negative: n" + pattern + "}" for pattern in patterns
        )
        source = STAGES["embedder"].inputs(load("quickstart", [f"embedder.labelled=[{sets}]"]))["labelled them/set"]
        assert isinstance(source, FromHub)
        return source.files

    assert files(", files: [a*, b*]", ", files: [b*, c*]") == ("a*", "b*", "c*")
    assert files(", files: [a*]", "") == ()


@pytest.mark.parametrize("name", ["speed_full", "e5_full"])
def test_the_supervised_recipes_have_the_sets_of_e5(name: str) -> None:
    """E5 App. A: 13 sets, MS MARCO as passages and as documents; the papers have about 1.3M labelled rows."""
    recipe, plain = load(name), load(name.removesuffix("_full"))
    sets = recipe.embedder.labelled
    assert len(sets) == len({each.kind for each in sets}) == 14 and 1.2e6 < recipe.embedder.labelled_rows < 1.5e6
    assert sorted(each.weight for each in sets if each.weight < 0.6) == [0.1, 0.1, 0.5, 0.5]
    assert {each.kind.partition(" ")[0] for each in sets if each.layout == "beir"} == {
        *("mteb/fever", "mteb/hotpotqa", "mteb/msmarco"),
    }
    assert STAGES["embedder"].estimate(recipe, 9).rows - STAGES["embedder"].estimate(plain, 9).rows == (
        recipe.embedder.labelled_rows
    )


@pytest.mark.parametrize(("name", "plain"), [("speed_full", "speed"), ("e5_full", "e5"), ("e5_msmarco", "e5")])
def test_labelled_sets_are_all_that_is_new_in_a_recipe_with_them(name: str, plain: str) -> None:
    """So the stages before the embedder are found where the plain recipe was run."""
    others = {"name", "embedder", "scaling"}
    assert load(name).model_dump(exclude=others) == load(plain).model_dump(exclude=others)
    assert load(name).embedder.model_copy(update={"labelled": ()}) == load(plain).embedder


def test_the_supervised_recipe_reads_sets_of_these_shapes_from_the_hub(
    local: LocalHub, decoder: Path, tmp_path: Path
) -> None:
    """Every set of `speed_full`, with the columns and files it names, as far as shapes are known: docs/labelled.md."""
    hub, sets = Hub(str(local.endpoint)), []
    for number, recipe in enumerate(load("speed_full").embedder.labelled):
        name = recipe.repo.partition("@")[0]
        folder = like_e5s(name, tmp_path / str(number))
        ref = hub.publish("dataset", name, folder, message="x", tag="v1")
        recipe = recipe.model_copy(update={"weight": 1.0})
        sets.append(LabelledSet(recipe=recipe, folder=hub.fetch(ref, *recipe.files)))
    assert not list(sets[3].folder.glob("*-all/*"))  # gigabytes that nobody reads
    found, mined = labelled.read(
        settings(decoder, tmp_path, miner=decoder, labelled=tuple(sets), mine_margin=0.0, max_length=64)
    )
    counts = Counter(row["task_type"].partition(" ")[0] for row in found)
    assert counts.pop("sentence-transformers/miracl") == 12  # two languages
    assert {counts.pop(f"mteb/{name}") for name in ("hotpotqa", "fever", "msmarco")} == {4}
    assert len(counts) == 10 and set(counts.values()) == {6}
    assert mined > 9 and {row["instruction"] for row in found if "quora" in row["id"]} <= set(
        sets[10].recipe.instructions
    )
    assert {row["negative"] for row in found if "nli" in row["id"]} == {"the lazy dog alone"}
    texts = {name: {row["positive"] for row in found if name in row["id"]} for name in ("tydi", "fever")}
    assert "fox the fox jumps" in texts["tydi"] and {"fox the fox jumps", "the dog jumps"} <= texts["fever"]
