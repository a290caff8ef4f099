"""Which prompt every row gets: repeatable, in proportion at every prefix, and untouched by what stands beside it."""

import json
import tracemalloc
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.errors import StageError
from hub_speed.generation import estimate
from hub_speed.generation.planning import PlannedRow, numbered, plan_rows, row_rng
from hub_speed.generation.quota import MOST, Quota
from hub_speed.generation.variety import variety
from hub_speed.parquet import LARGER, MANY_FILES, ROWS_PER_FILE
from hub_speed.pipeline.table import STAGES, wanted
from hub_speed.recipe import Recipe
from hub_speed.recipes.loader import load
from hub_speed.rows import PromptRow, columns
from hub_speed.task_types import TASK_TYPES

POOL = {name: [(f"{name} task {i}", f"Arts/Topic_{i}") for i in range(50)] for name in TASK_TYPES}


def recipe(**values: object) -> Recipe:
    return Recipe.model_validate({"name": "test", **values})


def test_a_row_has_a_generator_of_its_own() -> None:
    drawn = {
        (seed, stage, row): row_rng(seed, stage, row).random()
        for seed in (0, 1)
        for stage in ("seed", "root")
        for row in ("seed-1", "seed-2", "seed-11")
    }
    assert len(set(drawn.values())) == len(drawn)
    assert all(row_rng(*key).random() == value for key, value in drawn.items())


def test_a_plan_is_the_same_every_time_and_every_prefix_of_it_too() -> None:
    r = recipe()
    rows = list(plan_rows(r, "seed", 120, POOL))
    assert rows == list(plan_rows(r, "seed", 120, POOL))
    assert rows[:40] == list(plan_rows(r, "seed", 40, POOL)) == list(islice(plan_rows(r, "seed", 9999, POOL), 40))
    assert [row.id for row in rows[:3]] == ["seed-0000000", "seed-0000001", "seed-0000002"]
    assert len({row.id for row in rows}) == len({row.prompt for row in rows}) == 120


@pytest.mark.parametrize("change", [{"rng_seed": 1}, {"stage": "synthesize"}])
def test_another_seed_or_stage_draws_other_prompts(change: dict[str, object]) -> None:
    values = {"rng_seed": 42, "stage": "seed"} | change
    one = list(plan_rows(recipe(), "seed", 60, POOL))
    two = list(plan_rows(recipe(rng_seed=values["rng_seed"]), str(values["stage"]), 60, POOL))
    assert [row.task_type for row in one] == [row.task_type for row in two]
    assert sum(a.prompt == b.prompt for a, b in zip(one, two, strict=True)) < 5


def test_a_knob_of_one_type_leaves_the_other_types_alone() -> None:
    one = list(plan_rows(recipe(), "seed", 60, POOL))
    two = list(plan_rows(recipe(retrieval={"min_words": [77]}), "seed", 60, POOL))
    for a, b in zip(one, two, strict=True):
        if a.task_type == "retrieval":
            assert b.knobs == a.knobs | {"min_words": "77"}
        else:
            assert a == b


def test_a_row_is_what_its_columns_say() -> None:
    r = recipe(mixture=dict.fromkeys(TASK_TYPES, 1), languages={"English": 1, "German": 1, "Polish": 1})
    for row in plan_rows(r, "seed", 120, POOL):
        found = row.columns()
        assert list(found) == list(columns(PromptRow))
        assert all(isinstance(value, str) for value in found.values())
        assert found["knobs"] == json.dumps(row.knobs)
        assert (row.task, row.topic) in POOL[row.task_type]
        kind = TASK_TYPES[row.task_type]
        assert all(value in kind.knobs[name] for name, value in row.knobs.items())
        shown = row.task if kind.brainstorm else row.topic.replace("/", " > ").replace("_", " ")
        assert shown in row.prompt
        assert row.language in row.prompt
        if kind.languages_per_row == 2:
            assert row.target_language in row.prompt
            assert row.target_language not in ("", row.language)
        else:
            assert row.target_language == ""


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_knobs_are_written_as_json_dumps_writes_them(knobs: dict[str, str]) -> None:
    row = PlannedRow("seed-0000000", "retrieval", "task", "topic", "English", "", knobs, "prompt")
    assert row.columns()["knobs"] == json.dumps(knobs)


def test_languages_come_in_their_shares() -> None:
    r = recipe(mixture={"sts": 1, "bitext": 1}, languages={"English": 6, "German": 3, "Polish": 1})
    rows = list(plan_rows(r, "seed", 4000, POOL))
    first = Counter(row.language for row in rows)
    assert first["English"] / 4000 == pytest.approx(0.6, abs=0.03)
    assert first["Polish"] / 4000 == pytest.approx(0.1, abs=0.02)
    second = Counter(row.target_language for row in rows if row.language == "English" and row.target_language)
    assert second["German"] / sum(second.values()) == pytest.approx(0.75, abs=0.05)


def test_the_two_languages_of_a_row_differ() -> None:
    r = recipe(mixture={"bitext": 1}, languages={"English": 1000, "German": 0.001})
    assert {(row.language, row.target_language) for row in plan_rows(r, "seed", 50, POOL)} == {("English", "German")}


def test_no_task_comes_twice_before_all_have_come_once() -> None:
    rows = [row.task for row in plan_rows(recipe(mixture={"retrieval": 1, "sts": 1}), "seed", 270, POOL)]
    tasks = [task for task in rows if task.startswith("retrieval")]
    assert len(set(tasks[:50])) == len(set(tasks[50:100])) == 50
    assert set(Counter(tasks).values()) == {2, 3}
    assert tasks[:50] != sorted(tasks[:50])
    other = [row.task for row in plan_rows(recipe(mixture={"retrieval": 1}), "root", 50, POOL)]
    assert other != tasks[:50]  # another stage starts with other tasks


@pytest.mark.parametrize("pool", [{}, {"retrieval": []}, {**POOL, "sts": []}])
def test_a_type_without_a_task_is_said_before_anything_is_asked(pool: dict[str, list[tuple[str, str]]]) -> None:
    with pytest.raises(StageError, match=r"seed: no task of type \w+ in the pool"):
        next(plan_rows(recipe(), "seed", 10, pool))


def test_what_a_row_draws_never_changes() -> None:
    """The same rows on every machine and every Python; another way to draw needs another version of the stages."""
    rng = row_rng(42, "seed", "seed-0000000")
    assert (rng.choice(range(1000)), rng.choices("abc", [1, 2, 3])) == (490, ["c"])
    assert (rng.sample(range(100), 3), round(rng.random(), 9)) == ([47, 99, 35], 0.967787776)


# --- estimates: what a plan says a recipe will take -----------------------------------------------------------------


def test_the_papers_calls_and_tokens_come_out() -> None:
    """SPEED Table 5: 25K + 10K + 10K calls; 10M, 12M and 10M tokens, give or take the wording of the prompts."""
    recipe = load("speed")
    found = {stage.name: stage.estimate(recipe, 1000) for stage in wanted(recipe)}
    assert {name: found[name].calls for name in ("seed", "preference", "revision")} == {
        "seed": 25_000,
        "preference": 10_000,
        "revision": 10_000,
    }
    assert found["brainstorm"].calls == 4000
    assert {name for name, e in found.items() if e.model == "teacher"} == {
        *("brainstorm", "seed", "preference", "revision", "audit"),
    }
    drafts = found["synthesize"]
    assert (drafts.model, drafts.rows, drafts.calls) == ("senior", 1_150_000, round(1_150_000 / estimate.DRAFT_YIELD))
    assert {name for name, e in found.items() if e.expected} == {
        *("seed", "root", "preference", "revision", "synthesize")
    }
    assert found["root"].tokens > found["seed"].tokens / 25_000 * 10_000 * 2
    for name, paper in (("seed", 10e6), ("preference", 12e6), ("revision", 10e6)):
        assert paper / 2 < found[name].tokens < paper * 2, name
    trained = {name: e for name, e in found.items() if e.model is None and name != "evaluate"}
    assert all(e.calls == e.written == 0 < e.read for e in trained.values())
    assert {name: e.rows for name, e in trained.items()} == {
        "junior": 25_000,
        "senior": 10_000,
        "revisor": 10_000,
        "embedder": 1_150_000,
        "scaling": 3_622_500,  # two seeds of six sizes
    }
    assert 0.9 < trained["junior"].tokens / found["seed"].tokens < 1.1  # it reads what the teacher read and wrote


def test_an_estimate_follows_the_recipe() -> None:
    r = load("speed", ["preference.rows=7", "revision={}", "audit.rows=0", "synthesize.generator=junior"])
    assert STAGES["preference"].estimate(r, 10).calls == 7
    assert STAGES["revision"].estimate(r, 10).calls == 12_500  # all of root
    assert STAGES["audit"].estimate(r, 10).calls == 0
    assert STAGES["synthesize"].estimate(r, 10).model == "junior"
    both, margin = (load("speed", [f"preference.{change}"]) for change in ("judge=both_orders", "signal=retrieval"))
    assert [STAGES["preference"].estimate(one, 10).calls for one in (both, margin)] == [20_000, 0]


def test_an_estimate_has_a_cost_where_there_are_prices_and_a_time() -> None:
    prices = ["budget.usd_per_million_read=5", "budget.usd_per_million_written=15", "runtime.in_flight=100"]
    seed = STAGES["seed"].estimate(load("speed", prices), 10)
    assert seed.cost_usd == pytest.approx((5 * seed.read + 15 * seed.written) / 1e6)
    assert seed.seconds == pytest.approx(seed.written / estimate.TOKENS_PER_S / 100)
    root = STAGES["root"].estimate(load("speed", prices), 10)
    assert root.cost_usd is None  # one's own model
    assert root.seconds > 0
    assert STAGES["seed"].estimate(load("quickstart"), 10).cost_usd is None


def test_an_estimate_at_another_yield() -> None:
    seed = STAGES["seed"].estimate(load("speed"), 10)
    half = seed.at_yield(0.5)
    assert (half.rows, half.calls, half.expected) == (25_000, 50_000, 0.5)
    assert (half.read, half.seconds, half.cost_usd) == (2 * seed.read, 2 * seed.seconds, 2 * (seed.cost_usd or 0))
    assert half.at_yield(1.0) == seed


def test_an_estimate_of_types_whose_task_is_always_the_same() -> None:
    r = load("speed", ["mixture={sts: 1}"])
    assert all(stage.estimate(r, 10).calls >= 0 for stage in STAGES.values())
    assert STAGES["brainstorm"].estimate(r, 10).calls == 0


def test_hours_of_training_and_scoring_follow_weights_and_tokens() -> None:
    recipe = load("speed")
    found = {stage.name: stage.estimate(recipe, 1000) for stage in wanted(recipe)}
    for name, passes, weights in (("junior", 6, 8e9), ("senior", 8, 8e9), ("embedder", 6, 7e9)):
        assert found[name].seconds == pytest.approx(passes * weights * found[name].read / (312e12 * 0.4))
    # E5 App. C: three days on 8 V100 for MTEB. An A100 does 312/125 as much.
    assert found["evaluate"].seconds / 3600 == pytest.approx(3 * 24 * 8 * 125 / 312)
    assert found["scaling"].seconds > 8 * found["evaluate"].seconds  # all runs are scored
    # E5 §4.2: 1.8M rows in 18 h on 32 V100, which is reached with less than three texts of 512 tokens a row.
    e5 = estimate.trains("mistralai/Mistral-7B-v0.1", 1_800_000, 3 * 512 / estimate.TOKENS_PER_WORD, 1)
    assert 0.5 < e5.seconds / (18 * 3600 * 32 * 125 / 312) < 1.5
    unknown = load("speed", ["generator.base_model=org/base", "evaluate.benchmarks=[]"])
    assert {STAGES[name].estimate(unknown, 10).seconds for name in ("junior", "revisor", "evaluate")} == {0}


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("meta-llama/Meta-Llama-3-8B", 8e9),
        ("mistralai/Mistral-7B-v0.1", 7e9),
        ("Qwen/Qwen3-0.6B-Base", 6e8),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", 30e9),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135e6),
        ("sentence-transformers/all-MiniLM-L6-v2", 0),
        ("tiny-base", 0),
        ("org/v2beta", 0),
    ],
)
def test_a_models_weights_are_read_from_its_name(name: str, weights: float) -> None:
    assert estimate.weights(name) == weights


def test_rows_per_task_and_prompts_that_come_back() -> None:
    r = load("speed")
    lines = {line.task_type: line for line in variety(r, 60_000, {"classification": 7_000})}
    assert {name: (line.rows, line.topics, line.tasks) for name, line in lines.items()} == {
        "retrieval": (350_000, 17_500, 17_500),
        "classification": (350_000, 17_500, 7_000),  # as they were brainstormed
        "sts": (350_000, 60_000, 60_000),
        "short_matching": (50_000, 2_500, 2_500),
        "long_matching": (50_000, 2_500, 2_500),
    }
    assert lines["classification"].rows_per_task == 50
    assert 0 < lines["retrieval"].alike < lines["classification"].alike <= 1
    assert variety(load("speed", ["brainstorm.tasks=org/tasks"]), 0, {})[0].tasks is None


def test_the_share_of_prompts_that_come_back_is_that_of_rows_drawn() -> None:
    """Against the count among rows that are really drawn, for a pool with as many rows per task."""
    r = load("speed", ["mixture={sts: 1}", "synthesize.rows=3000"])
    line = variety(r, 150, {})[0]
    pool = {"sts": [("t", f"Topic_{i}") for i in range(150)]}
    drawn = Counter(tuple(sorted(row.prompt.split("\n"))) for row in plan_rows(r, "synthesize", 3000, pool))
    assert line.rows_per_task == 20
    assert line.alike == pytest.approx(sum(count for count in drawn.values() if count > 1) / 3000, abs=0.05)


# --- very many rows ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_ids_sort_as_numbers_do(one: int, other: int) -> None:
    assert (numbered("seed", one) < numbered("seed", other)) == (one < other)


def test_the_ids_of_small_sets() -> None:
    ids = [numbered("seed", i) for i in (0, 9_999_999, 10_000_000, 10**9)]
    assert ids == ["seed-0000000", "seed-9999999", "seed-a10000000", "seed-c1000000000"]


def test_a_billion_rows_are_planned_at_once_and_make_as_many_files_as_a_hub_takes() -> None:
    rows = 10**9
    tracemalloc.start()
    recipe = load("speed", [f"synthesize.rows={rows}"])
    takes = {name: stage.estimate(recipe, 62_332) for name, stage in STAGES.items()}
    quota = Quota.of(recipe.mixture, rows)
    first = next(plan_rows(recipe, "synthesize", quota.asked, {name: [("task", "topic")] for name in recipe.mixture}))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert first.id == "synthesize-0000000" and sum(quota.wanted.values()) == takes["synthesize"].rows == rows
    assert most < 50e6  # bytes, with the imports: nothing grows with the rows

    def files(lines: int) -> int:
        """How many files of a folder hold so many lines."""
        few = MANY_FILES * ROWS_PER_FILE
        return -(-min(lines, few) // ROWS_PER_FILE) + -(-max(0, lines - few) // (LARGER * ROWS_PER_FILE))

    ledger = files(MOST * rows)  # with no line left to ask for
    folders = [*map(files, quota.wanted.values()), ledger]
    assert max(folders) == ledger == 4_800 and sum(folders) < 100_000  # files in all: the Hub's limit as well
    assert 2 * len(STAGES) < 128  # commits an hour, if all stages ended in one: each makes one, and one for a new repo
