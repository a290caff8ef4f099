"""Recipes: strict, frozen, said in the reader's words; defaults are the papers'."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from running import Cli

from hub_speed import recipe as recipes
from hub_speed.errors import RecipeError
from hub_speed.generation import estimate
from hub_speed.pipeline.table import wanted
from hub_speed.recipe import Recipe
from hub_speed.recipes.loader import builtin, load
from hub_speed.stage import FromHub
from hub_speed.task_types import TASK_TYPES
from hub_speed.text import SCRIPTS

SECTIONS = {
    name: field.annotation
    for name, field in Recipe.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


def written(folder: Path, text: str, *overrides: str) -> Recipe:
    path = folder / "my.yaml"
    path.write_text(text, "utf-8")
    return load(str(path), list(overrides))


def refused(folder: Path, text: str, *overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        written(folder, text, *overrides)
    assert caught.value.exit_code == 2
    return caught.value


# --- defaults and shipped recipes -----------------------------------------------------------------------------------


def test_defaults_are_the_papers() -> None:
    r = Recipe(name="x")
    found = {
        "teacher": (r.teacher.model, r.teacher.sampling_temperature, r.teacher.top_p, r.teacher.judge_temperature),
        "generator": (r.generator.base_model, r.generator.prompt_format, r.generator.sampling_temperature),
        "brainstorm": (r.brainstorm.max_depth, r.brainstorm.tasks_per_prompt, r.brainstorm.tasks_per_topic),
        "mixture": r.mixture,
        "rows": (r.seed.rows, r.root.rows, r.root.candidates, r.synthesize.rows),
        "junior": (r.junior.learning_rate, r.junior.batch_size),
        "senior": (r.senior.learning_rate, r.senior.batch_size, r.senior.dpo_beta),
        "revisor": (r.revisor.learning_rate, r.revisor.batch_size),
        "lora": (r.revisor.lora_r, r.revisor.lora_alpha, r.revisor.lora_dropout),
        "layers": (set(r.revisor.target_modules), r.junior.target_modules, r.embedder.target_modules),
        "embedder": (r.embedder.base_model, r.embedder.batch_size, r.embedder.loss_temperature),
        "e5's embedder": (
            r.embedder.learning_rate,
            r.embedder.warmup_steps,
            r.embedder.weight_decay,
            r.embedder.epochs,
        ),
        "length": r.embedder.max_length,
    }
    assert found == {
        "teacher": ("gpt-4o-2024-05-13", 1.0, 1.0, 0.0),  # SPEED §4.1, App. B
        "generator": ("meta-llama/Meta-Llama-3-8B", "{prompt} [/INST]", 1.0),
        "brainstorm": (4, 5, 1),  # §4.3.2, released prompts, Table 3
        "mixture": {"retrieval": 7, "classification": 7, "sts": 7, "short_matching": 1, "long_matching": 1},  # 7:7:7:2
        "rows": (25_000, 10_000, 5, 1_150_000),  # §4.5, Fig. 5, App. A
        "junior": (1e-4, 16),  # App. B
        "senior": (1e-5, 16, 0.1),
        "revisor": (5e-6, 24),
        "lora": (16, 32, 0.1),  # the published revisor's adapter
        # that of the revisor again, and of E5
        "layers": (
            {f"{name}_proj" for name in ("q", "v", "o", "gate", "up", "down")},
            r.senior.target_modules,
            "all-linear",
        ),
        "embedder": ("mistralai/Mistral-7B-v0.1", 1536, 0.02),
        "e5's embedder": (1e-4, 100, 0.1, 1),  # E5 §4.2
        "length": 512,
    }


@pytest.mark.parametrize("section", ["preference", "revision"])
def test_signals_need_as_many_root_rows(section: str) -> None:
    with pytest.raises(RecipeError, match=rf"{section}.rows: 15,000 is more than root.rows, which is 10,000"):
        load("small", [f"{section}.rows=15000", "root.rows=10000"])
    assert load("small", [f"{section}.rows=5000"])


def test_every_default_says_where_it_comes_from() -> None:
    files = [path.read_text("utf-8").splitlines() for path in Path(recipes.__file__).parent.glob("*.py")]
    missing = [
        f"{section.name}.{ast.unparse(field.target)}"
        for lines in files
        for section in ast.parse("\n".join(lines)).body
        if isinstance(section, ast.ClassDef) and section.name not in ("Runtime", "Recipe")
        for field in section.body
        if isinstance(field, ast.AnnAssign)
        and not any("#" in line for line in lines[field.lineno - 1 : field.end_lineno])
    ]
    assert missing == []


def test_the_papers_recipe_spells_out_the_defaults() -> None:
    speed, plain = load("speed").model_dump(), Recipe(name="speed").model_dump()
    assert Path(speed["brainstorm"].pop("topics")).name == plain["brainstorm"].pop("topics")
    for section in ("budget", "runtime"):  # they change nothing of what is made
        del speed[section], plain[section]
    assert (speed.pop("checks"), plain.pop("checks")) == ("form", "all")
    for section, rows in {"root": 12_500, "preference": 10_000, "revision": 10_000}.items():
        assert speed[section].pop("rows") == rows  # so that there are 10,000 signals of both in the end (§4.5)
        del plain[section]["rows"]
    assert speed == plain


def test_a_default_that_is_spelled_out_is_the_same_recipe() -> None:
    plain = Recipe(name="x")
    spelled_out = Recipe.model_validate(json.loads(plain.model_dump_json()))
    assert spelled_out == plain
    assert spelled_out.model_dump_json() == plain.model_dump_json()  # 1 and 1.0 would be two fingerprints


def test_an_embedder_needs_some_rows() -> None:
    assert load("e5_msmarco", ["embedder.rows=0"]).embedder.rows == 0  # the labelled set alone
    with pytest.raises(RecipeError, match="nothing to train on"):
        load("e5", ["embedder.rows=0"])


@pytest.mark.parametrize("names", [("e5", "e5_msmarco", "e5_full"), ("speed", "speed_full")])
def test_labelled_sets_are_all_that_a_supervised_recipe_adds(names: tuple[str, ...]) -> None:
    """So its rows are those of the plain recipe, found by their tags."""
    made = [load(name).model_dump() for name in names]
    for each in made:
        each["embedder"].pop("labelled")
        each.pop("name"), each.pop("scaling")
    assert all(each == made[0] for each in made)


def test_e5_has_its_93_languages_and_its_mix() -> None:
    e5 = load("e5")
    assert set(e5.languages) == set(SCRIPTS)
    assert len(SCRIPTS) == 93
    assert e5.languages["English"] / sum(e5.languages.values()) == pytest.approx(0.431, abs=0.005)
    assert e5.languages["Welsh"] == pytest.approx(19.8 / 79)  # what is not named shares the rest
    assert e5.mixture == {
        "retrieval": 167,
        "classification": 122,
        "sts": 99,
        "bitext": 89,
        "long_matching": 17,
        "short_matching": 13,
    }
    assert e5.teacher.model == {"gpt-4": 3, "gpt-3.5-turbo": 1}
    assert (e5.seed.rows, e5.embedder.data, e5.embedder.batch_size) == (500_000, "seed", 2048)


def test_the_papers_small_runs_differ_from_the_large_one_in_rows_alone() -> None:
    small, large = load("speed_230k").model_dump(), load("speed").model_dump()
    differ = {name for name in large if small[name] != large[name]} - {"name"}
    assert differ == {"brainstorm", "synthesize", "embedder", "scaling"}
    assert small["brainstorm"].pop("max_topics") * 4 == large["brainstorm"].pop("max_topics")  # as many rows per task
    assert small["brainstorm"] == large["brainstorm"]
    assert small["embedder"].pop("rows") == 230_000  # §4.1, §4.3
    assert large["embedder"].pop("rows") is None
    assert small["embedder"] == large["embedder"]
    assert small["synthesize"]["rows"] * 0.8 == 230_000  # what Table 6 keeps of 1.15M


def test_one_gpu_is_enough_for_small_and_nothing_proprietary_is_in_open() -> None:
    small, free = load("small"), load("open")
    apache = {"Qwen/Qwen3-4B-Base", "Qwen/Qwen3-0.6B-Base", "Qwen/Qwen3-8B-Base", "mistralai/Mistral-7B-v0.1"}
    apache |= {"Qwen/Qwen3-30B-A3B-Instruct-2507"}
    assert {small.generator.base_model, small.embedder.base_model} <= apache
    assert {free.generator.base_model, free.embedder.base_model, free.teacher.model} <= apache
    # A licence is only given away where no terms of a teacher bind the data.
    assert {name: load(name).license for name in builtin()} == {
        "domain": "other",
        "domain-demo": "apache-2.0",
        "e5": "other",
        "e5_full": "other",
        "e5_msmarco": "other",
        "open": "apache-2.0",
        "quickstart": "apache-2.0",
        "small": "other",
        "speed": "other",
        "speed_230k": "other",
        "speed_full": "other",
    }
    assert [name for name in builtin() if not load(name).runtime.gradient_checkpointing] == [
        "domain-demo",
        "quickstart",
    ]
    assert small.runtime.micro_batch_size == 2 and small.runtime.server == free.runtime.server == "vllm"
    assert 5_000 <= small.seed.rows <= 100_000 and 5_000 <= small.root.rows <= 15_000  # SPEED Fig. 3


def test_a_licence_of_a_recipe_of_the_package_is_not_put_on_documents_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    mine = tmp_path / "mine.yaml"

    def licence(written: str, *given: str) -> str:
        mine.write_text(written)
        return load(str(mine), list(given)).license

    source = f"corpus.source={tmp_path / 'docs'}"
    assert load("domain-demo").license == load("domain-demo", ["questions.rows=9"]).license == "apache-2.0"
    assert load("domain-demo", [source]).license == load("domain-demo", ["corpus.source=org/name"]).license == "other"
    assert load("domain-demo", [source, "license=cc-by-4.0"]).license == "cc-by-4.0"
    assert load("domain-demo", ["license=cc-by-4.0", f"corpus={{source: {tmp_path}/docs}}"]).license == "cc-by-4.0"
    assert licence("extends: domain-demo\nquestions: {rows: 9}") == "apache-2.0"
    assert licence("extends: domain-demo\nquestions: {rows: 9}", source) == "other"
    assert licence("extends: domain-demo\ncorpus: {source: docs}") == "other"
    assert licence("extends: open\ncorpus: {source: docs}\nlicense: mit") == "mit"
    assert licence("corpus: {source: docs}\nlicense: mit", source) == "mit"


@pytest.mark.parametrize("name", builtin())
def test_every_stage_has_an_estimate_and_the_teachers_a_price(name: str) -> None:
    r = load(name)
    without = ("corpus", "benchmark", "evaluate")  # they ask and train no model
    assert all(s.estimate(r, 1000).tokens > 0 for s in wanted(r) if s.name not in without)
    asking = [s for s in wanted(r) if s.estimate(r, 1000).model]
    assert len(asking) >= 2
    for s in asking:
        found = s.estimate(r, 1000)
        assert min(found.calls, found.read, found.written) > 0 and found.seconds > 0
        assert (found.cost_usd is not None) == (found.model == "teacher" and not r.offline)


@pytest.mark.parametrize("name", ["speed_230k", "small", "open"])
def test_a_recipe_can_be_planned_before_its_bases_are_on_the_hub(name: str, cli: Cli) -> None:
    out = cli("plan", name, code=4)
    lines = {line.split()[0]: line for line in out.splitlines() if line.split()}
    r = load(name)
    for s in wanted(r):
        missing = any(isinstance(source, FromHub) for source in s.inputs(r).values()) and s.name != "brainstorm"
        assert ("cannot run" in lines[s.name]) == missing
    assert f"{r.seed.rows:,}" in lines["seed"] and "$" in lines["seed"]
    assert f"{round(r.synthesize.rows / estimate.DRAFT_YIELD):,}" in lines["synthesize"]
    assert r.generator.base_model in out


@pytest.mark.parametrize("name", builtin())
def test_a_shipped_recipe_loads_and_its_topic_file_is_there(name: str) -> None:
    r = load(name)
    assert r.name == name
    assert not r.brainstorm.topics.endswith(".txt") or Path(r.brainstorm.topics).is_file()
    assert len((Path(recipes.__file__).parents[1] / "recipes" / f"{name}.yaml").read_text().splitlines()) <= 75


def test_no_recipe_has_room_for_a_secret() -> None:
    fields = [f for section in SECTIONS.values() for f in section.model_fields] + list(Recipe.model_fields)
    assert not [f for f in fields if re.search(r"key|token$|secret|url|password|endpoint", f)]


def test_a_recipe_cannot_be_changed() -> None:
    r = Recipe(name="x")
    with pytest.raises(ValidationError):
        r.seed.rows = 5
    with pytest.raises(ValidationError):
        r.name = "y"


# --- what is written --------------------------------------------------------------------------------------------------


def test_a_recipe_lists_only_what_differs(folder: Path) -> None:
    r = written(folder, "seed: {rows: 7}\nretrieval: {min_words: [10, 20], clarity: {clear: 3}, query_type: common}")
    assert (r.name, r.seed.rows) == ("my", 7)
    assert r.retrieval == {
        "min_words": {"10": 1.0, "20": 1.0},
        "clarity": {"clear": 3.0},
        "query_type": {"common": 1.0},
    }
    assert r.knobs("retrieval") == r.retrieval
    assert r.model_copy(update={"seed": Recipe(name="x").seed, "retrieval": {}}).root == Recipe(name="x").root
    assert written(folder, "name: other").name == "other"
    assert written(folder, "") == written(folder, "# nothing\n")


def test_topics_are_the_packages_or_found_beside_the_recipe_or_on_the_hub(folder: Path) -> None:
    packaged = load("speed").brainstorm.topics
    assert written(folder, "").brainstorm.topics == packaged and Path(packaged).is_file()
    assert written(folder, "brainstorm: {topics: topics.txt}").brainstorm.topics == str(folder / "topics.txt")
    assert written(folder, "brainstorm: {topics: t/a.txt}").brainstorm.topics == str(folder / "t/a.txt")
    assert written(folder, "brainstorm: {topics: /abs/a.txt}").brainstorm.topics == "/abs/a.txt"
    assert written(folder, "brainstorm: {topics: org/topics@v1}").brainstorm.topics == "org/topics@v1"
    r = written(folder, "brainstorm:\n  max_depth: 2")
    assert (r.brainstorm.max_depth, r.brainstorm.topics) == (2, packaged)


REFUSED = [
    # text, flags, what the message says, in this order
    (
        "snior: {dpo_beta: 1}",
        [],
        ["recipe my.yaml: snior is not a field of a recipe", "(line 1)", "did you mean senior?"],
    ),
    ("\nseed:\n  rwos: 5", [], ["seed.rwos is not a field of seed", "rows", "rwos: 5  (line 3)", "did you mean rows?"]),
    ("seed: {rows: 1}\nsenior: {dpo_betta: 1}", [], ["senior.dpo_betta", "(line 2)", "did you mean dpo_beta?"]),
    ("", ["seed.rwos=5"], ["seed.rwos is not a field", "got       rwos: 5\n", "did you mean rows?"]),
    (
        "embedder:\n  labelled:\n  - {repo: a/b, instruction: i, license: mit, positve: p}",
        [],
        ["embedder.labelled.0.positve is not a field", "query, positive, negative", "did you mean positive?"],
    ),
    ("", ["zzz=5"], ["zzz is not a field of a recipe"]),
    ("seed: {rows: 0}", [], ["seed.rows", "greater than or equal to 1", "0  (line 1)"]),
    ("seed: {rows: ten}", [], ["seed.rows", "valid integer", "'ten'"]),
    ("seed: 5", [], ["seed", "5  (line 1)"]),
    ("embedder: {data: drafts}", [], ["embedder.data", "'filter', 'mine' or 'relabel'", "'drafts'"]),
    ("generator: {prompt_format: hello}", [], ["generator.prompt_format", "must hold {prompt} exactly once"]),
    ("generator: {prompt_format: '{prompt}{prompt}'}", [], ["must hold {prompt} exactly once"]),
    ("junior: {load_in_4bit: true, lora_r: 0}", [], ["junior", "load_in_4bit needs an adapter", "(line 1)"]),
    ("senior: {batching: packed}", [], ["senior.batching", "'by_length' or 'shuffled'", "'packed'"]),
    ("revise: {dedup_permutations: 130}", [], ["revise.dedup_permutations", "multiple of 12"]),
    ("scaling: {sizes: [1, x]}", [], ["scaling.sizes.1", "valid integer"]),
    ("1: 2", [], ["recipe my.yaml: 1", "strings"]),
    ("'[key]': 2", [], ["recipe my.yaml: [key] is not a field of a recipe"]),
    ("- a", [], ["recipe my.yaml: not a mapping", "stage: {field: value}"]),
    ("just words", [], ["not a mapping"]),
    ("a: [", [], ["recipe my.yaml: cannot be read as YAML", "line 2"]),
    ("a: !!python/object/apply:os.system [true]", [], ["cannot be read as YAML"]),
    ("\x00", [], ["cannot be read as YAML"]),
    (
        "rng_seed: 1\nmixture: {retreival: 1}",
        [],
        ["mixture: retreival is not one of", "did you mean retrieval?", "(line 2)"],
    ),
    ("mixture: {}", [], ["mixture: at least one value"]),
    (
        "preference: {signal: retrieval, judge: both_orders}",
        [],
        ["judge: both_orders needs signal: judge"],
    ),
    ("mixture: {sts: 0}", [], ["mixture: at least one value, and every weight above 0"]),
    ("mixture: {sts: -1}", [], ["mixture: "]),
    ("mixture: {sts: .nan}", [], ["mixture: "]),
    ("mixture: {sts: .inf}", [], ["mixture: "]),
    ("mixture: {bitext: 1}", [], ["mixture: bitext needs at least two languages"]),
    ("languages: {Englisch: 1}", [], ["languages: Englisch is not one of", "did you mean English?"]),
    ("languages: {}", [], ["languages: at least one value"]),
    ("languages: {English: 0}", [], ["languages: "]),
    ("languages: {English: 1, others: many}", [], ["languages", "others must be a number"]),
    ("languages: [English]", [], ["languages", "dictionary"]),
    ("retrieval: {min_wrds: [10]}", [], ["retrieval: min_wrds is not one of", "did you mean min_words?"]),
    ("retrieval: {min_words: []}", [], ["retrieval.min_words: at least one value"]),
    ("retrieval: {min_words: {10: 0}}", [], ["retrieval.min_words: ", "above 0"]),
    ("retrieval: {min_words: {10: many}}", [], ["retrieval.min_words.10", "valid number"]),
    ("retrieval: {min_words: [ten]}", [], ["retrieval.min_words: ", "'ten'", "(line 1)"]),
    ("retrieval: {query_length: [5 to 2 words]}", [], ["retrieval.query_length: '5 to 2 words' is not"]),
    ("retrieval: {query_length: [short]}", [], ["retrieval.query_length: 'short' is not 'less than N words'"]),
    ("classification: {text_length: [5 words, long]}", [], ["classification.text_length: 'long' is not"]),
    ("short_matching: {text_length: [long]}", [], ["short_matching.text_length: 'long' is not"]),
    ("long_matching: {min_words: [long]}", [], ["long_matching.min_words: ", "'long'"]),
    ("retrieval: [1]", [], ["retrieval", "dictionary"]),
    ("questions: {audiences: ['']}", [], ["questions.audiences", "a text is expected in the place of ''", "(line 1)"]),
    ("questions: {audiences: {1: 2}}", [], ["questions.audiences", "a text is expected in the place of 1"]),
    ("questions: {kinds: [single, single]}", [], ["questions.kinds", "'single' is there 2 times"]),
    ("embedder: {exports: [onnx, onnx]}", [], ["embedder.exports", "'onnx' is there 2 times"]),
    ("embedder: {distil: 1, data: mine}", [], ["embedder\n", "distil needs data", "got       data: 'mine', distil: 1"]),
    ("corpus: {test_share: 0.95}", [], ["corpus\n", "must be below 1", "got       test_share: 0.95"]),
    ("brainstorm: 5", [], ["recipe my.yaml: brainstorm has no fields", "mapping", "5"]),
    ("brainstorm: {topics: [a.txt]}", [], ["brainstorm.topics", "valid string"]),
    ("license: mit", ["license.x=3"], ["--set license.x=…: license has no fields", "a value of type str"]),
    ("", ["seed.rows"], ["--set seed.rows", "section.field=value"]),
    ("", ["=5"], ["--set =…"]),
    ("", ["a.b.c.d=1"], ["--set a.b.c.d=…"]),
    ("", ["seed.rows="], ["seed.rows", "None"]),
    ("", ["seed.rows=["], ["--set seed.rows=…: the value is not YAML", "expected node content"]),
]


@pytest.mark.parametrize(("text", "flags", "says"), REFUSED, ids=[" ".join([c[0], *c[1]])[:40] for c in REFUSED])
def test_a_mistake_is_named_with_its_place_and_the_nearest_name(
    folder: Path, text: str, flags: list[str], says: list[str]
) -> None:
    message, end = str(refused(folder, text, *flags)), 0
    for part in says:
        end = message.find(part, end)
        assert end >= 0, f"{part!r} is not (there) in\n{message}"
    assert len(message) < 700


def test_there_is_no_such_recipe(folder: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean quickstart"):
        load("quikstart")
    with pytest.raises(RecipeError, match="no such file"):
        load(str(folder / "nope.yaml"))
    (folder / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(RecipeError, match="cannot be read as YAML"):
        load(str(folder / "latin.yaml"))
    (folder / "folder.yaml").mkdir()
    with pytest.raises(RecipeError, match="no such file"):
        load(str(folder / "folder.yaml"))


# --- --set ------------------------------------------------------------------------------------------------------------

WHOLE = [
    (section, field)
    for section, model in SECTIONS.items()
    for field, info in model.model_fields.items()
    if info.annotation in (int, float, int | None)
    and not any(1 in (getattr(limit, "le", None), getattr(limit, "lt", None)) for limit in info.metadata)
    and (section, field) != ("embedder", "distil")  # fits one kind of data only
]


@given(st.sampled_from(WHOLE), st.integers(2, 16).map(lambda n: n * 12))
def test_set_changes_one_field_and_is_the_same_as_yaml(folder: Path, place: tuple[str, str], value: int) -> None:
    section, field = place
    text = "seed: {rows: 5}"
    found = written(folder, text, f"{section}.{field}={value}").model_dump()
    data: dict[str, dict[str, int]] = {"seed": {"rows": 5}}
    data.setdefault(section, {})[field] = value
    assert found == written(folder, yaml.safe_dump(data)).model_dump()
    plain = written(folder, text).model_dump()
    assert found[section].pop(field) == value
    plain[section].pop(field)
    assert found == plain


def test_set_reaches_every_level_and_the_last_one_wins(folder: Path) -> None:
    flags = [
        "rng_seed=7",
        "retrieval.min_words=[10]",
        "sts.unit.phrase=2",
        "mixture={sts: 1}",
        "seed.rows=1",
        "seed.rows=2",
    ]
    r = written(folder, "sts: {unit: {sentence: 1}}\nembedder: {epochs: 3}", *flags, "embedder.rows=null")
    assert (r.rng_seed, r.retrieval, r.mixture) == (7, {"min_words": {"10": 1.0}}, {"sts": 1})
    assert r.sts == {"unit": {"sentence": 1.0, "phrase": 2.0}}
    assert (r.seed.rows, r.embedder.epochs, r.embedder.rows) == (2, 3, None)
    assert written(folder, "", "senior.learning_rate=1e-4").senior.learning_rate == 1e-4
    assert written(folder, "", "teacher.model=a=b").teacher.model == "a=b"


NAMES = st.sampled_from([*Recipe.model_fields, "others", "English", "rows", "min_words", "topics", "clear", ""])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, ANY, max_size=4).map(yaml.safe_dump) | st.text(max_size=30))
def test_any_file_is_a_recipe_or_a_recipe_error(folder: Path, text: str) -> None:
    try:
        written(folder, text)
    except RecipeError as error:
        assert str(error).startswith("recipe ")


@given(st.text(max_size=20) | st.builds("{}.{}={}".format, NAMES, NAMES, st.text(max_size=8)))
def test_any_flag_makes_a_recipe_or_a_recipe_error(folder: Path, flag: str) -> None:
    try:
        written(folder, "brainstorm: {max_depth: 2}", flag)
    except RecipeError:
        pass


def test_a_recipe_may_start_from_another(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "topics.txt").write_text("Arts\n")
    (folder / "a" / "base.yaml").write_text(
        "extends: small\nname: theirs\nmixture: {sts: 1}\nseed: {rows: 7}\nbrainstorm: {topics: topics.txt}\n"
    )
    small, mine = load("small"), written(folder, "extends: a/base.yaml\nseed:\njunior: {epochs: 9}", "seed.rows=8")
    assert (mine.name, mine.mixture, mine.seed.rows, mine.junior.epochs) == ("my", {"sts": 1}, 8, 9)
    assert mine.junior == small.junior.model_copy(update={"epochs": 9})
    assert mine.generator == small.generator and mine.brainstorm.topics == str(folder / "a" / "topics.txt")
    assert written(folder, "extends: a/base.yaml\nseed:").seed.rows == 7
    assert written(folder, "extends: small\nname: small").model_dump() == small.model_dump()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends: smal", ["recipe my.yaml: extends smal: not a recipe of the package", "did you mean small?"]),
        ("extends: none.yaml", ["recipe my.yaml: extends none.yaml: no such file"]),
        ("extends: [small, e5]", ["recipe my.yaml: extends", "one recipe"]),
        ("extends:", ["recipe my.yaml: extends", "one recipe"]),
        ("extends: my.yaml", ["recipe my.yaml: extends leads back to the same file", "my.yaml → my.yaml"]),
        ("extends: loop.yaml", ["leads back to the same file", "my.yaml → loop.yaml → my.yaml"]),
        ("extends: bad.yaml\nseed: {}", ["recipe my.yaml: seed.rows", "(line 2 of bad.yaml)"]),
        ("extends: bad.yaml\nseed: {rows: 0}", ["recipe my.yaml: seed.rows", "0  (line 2)"]),
        ("extends: odd.yaml\nseed: {rows: 1}", ["recipe odd.yaml: brainstorm has no fields"]),
    ],
)
def test_an_extends_that_leads_nowhere_is_named(folder: Path, text: str, words: list[str]) -> None:
    (folder / "loop.yaml").write_text("extends: my.yaml\n")
    (folder / "bad.yaml").write_text("junior: {}\nseed: {rows: -1}\n")
    (folder / "odd.yaml").write_text("brainstorm: 5\n")
    with pytest.raises(RecipeError) as refused:
        written(folder, text)
    for word in words:
        assert word in str(refused.value)


def test_extends_is_no_flag(folder: Path) -> None:
    with pytest.raises(RecipeError, match="extends is not a field of a recipe"):
        written(folder, "", "extends=small")


def test_every_task_types_knobs_can_be_set(folder: Path) -> None:
    for name, kind in TASK_TYPES.items():
        knobs = {knob: dict(values) for knob, values in kind.knobs.items()}
        assert written(folder, yaml.safe_dump({name: knobs})).knobs(name) == knobs


@pytest.mark.parametrize(
    "flag",
    [
        "teacher=SECRET",
        "teacher.api_key=SECRET",
        "teacher.model.x=SECRET",
        "api_key=SECRET",
        "a.b.c=SECRET",
        "teacher={SECRET",
        "=SECRET",
        "SECRET-1",
        "seed.rows=['SECRET",
        "teacher={api_key: SECRET}",
        "teacher={api_key: {x: SECRET}}",
        "teacher=[SECRET]",
    ],
)
def test_a_key_in_the_wrong_place_is_not_printed(folder: Path, flag: str) -> None:
    assert "SECRET" not in str(refused(folder, "", flag))


def test_a_key_in_a_recipe_file_is_not_printed(folder: Path) -> None:
    for text in ("teacher: SECRET", "teacher: {api_key: SECRET}", "api_key: SECRET", "brainstorm: SECRET"):
        assert "SECRET" not in str(refused(folder, text))
