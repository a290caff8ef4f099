"""What moves which stages: every recipe field and every prompt, changed one at a time. The tables are written by hand.

A stage *moves* when its fingerprint changes while the versions made by other stages stay as they are: what comes after
a stage moves anyway, through its input.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, Field, create_model

from hub_speed.generation import prompts
from hub_speed.grounded import prompts as grounded
from hub_speed.pipeline.table import STAGES, wanted
from hub_speed.recipe import Recipe
from hub_speed.recipes.loader import load
from hub_speed.record import Ref, digest_of, fingerprint_of
from hub_speed.stage import FromHub
from hub_speed.task_types import TASK_TYPES

LABELLED = "{repo: org/pairs, instruction: Find it, license: mit}"

# Recipe `speed`: which stages move → the changes that move just these.
FIELDS = {
    "": """
        license=mit  offline=true  bitext={unit: [passages]}  embedder.miner_model=org/m  preference.embedder=org/e
        embedder.distil_temperature=0.7  embedder.teacher_weight=0.7
        embedder.miner_prompts=[a, b]  embedder.mine_from=5  embedder.mine_to=50  embedder.mine_margin=0.2
        runtime.mode=batch  runtime.in_flight=7  runtime.timeout_s=7  runtime.retries=7  runtime.reask=false
        runtime.reread=true  runtime.max_reject_rate=0.7  runtime.jobs=7  runtime.replicas=7  runtime.server=tgi
        runtime.server_flags=[-x]  runtime.launcher=[torchrun]  runtime.micro_batch_size=7  runtime.mini_batch_size=7
        runtime.gradient_checkpointing=false  runtime.checkpoint_s=7  runtime.server_start_s=7
        budget={usd_per_million_read: 7, usd_per_million_written: 7}  budget.max_calls=7  budget.max_tokens=7
    """,
    "corpus": """
        corpus.source=org/documents  corpus.column=body  corpus.passage_words=77  corpus.group_share=0.7
        corpus.dev_share=0.2  corpus.test_share=0.3
    """,
    "brainstorm": """
        brainstorm.topics=org/topics  brainstorm.max_depth=3  brainstorm.tasks_per_prompt=20
        brainstorm.tasks_per_topic=3  brainstorm.max_topics=9  brainstorm.max_topics=null  brainstorm.tasks=org/tasks
    """,
    "brainstorm seed revision": "teacher.sampling_temperature=0.5  teacher.top_p=0.9",
    "brainstorm seed preference revision audit": "teacher.model=other  teacher.max_tokens=99",
    "preference audit": "teacher.judge_temperature=0.5",
    "brainstorm seed junior root preference senior revision revisor synthesize questions": "rng_seed=7",
    "seed": "seed.rows=7",
    "seed root revision synthesize revise audit": "checks=all",
    "seed root synthesize questions": "languages={English: 1, German: 1}",
    "seed root synthesize": """
        retrieval={difficulty: [PhD]}  classification={difficulty: [PhD]}
        sts={low_score: [2]}  short_matching={text_length: [2 words]}  long_matching={min_words: [2]}
    """,
    "brainstorm seed root preference revision synthesize": """
        mixture={retrieval: 9, classification: 7, sts: 7, short_matching: 1, long_matching: 1}
    """,
    "brainstorm seed root preference revision synthesize revise audit": "mixture={retrieval: 7, sts: 7}",
    "junior revisor questions filter": "generator.base_model=org/other",
    "junior root senior revisor synthesize revise questions filter": "generator.prompt_format=chat",
    "junior": """
        junior.target_modules=[q_proj]
        junior.lora_r=8  junior.lora_alpha=8  junior.lora_dropout=0.2  junior.batch_size=7  junior.epochs=7
        junior.max_length=777  junior.too_long=truncate  junior.warmup_ratio=0.7  junior.schedule=linear
        junior.load_in_4bit=true  junior.learning_rate=0.7  junior.batching=packed  junior.weight_decay=0.7
    """,
    "root synthesize questions filter": "generator.sampling_temperature=0.5  generator.top_p=0.9",
    "root synthesize revise questions filter": "generator.max_tokens=99",
    "root": "root.rows=70000  root.candidates=7",
    "preference": """
        preference.rows=7  preference.signal=retrieval  preference.judge=both_orders  preference.stock_share=0.1
    """,
    "senior": """
        senior.target_modules=[q_proj]
        senior.lora_r=8  senior.lora_alpha=8  senior.lora_dropout=0.2  senior.batch_size=7  senior.epochs=7
        senior.max_length=777  senior.too_long=truncate  senior.warmup_ratio=0.7  senior.schedule=linear
        senior.load_in_4bit=true  senior.learning_rate=0.7  senior.batching=by_length  senior.dpo_beta=0.7
        senior.dpo_loss=sigmoid_norm
    """,
    "revision": "revision.rows=7  revision.candidate=best",
    "revision revise": "revision.may_keep=true",
    "revisor": """
        revisor.target_modules=[q_proj]
        revisor.lora_r=8  revisor.lora_alpha=8  revisor.lora_dropout=0.2  revisor.batch_size=7  revisor.epochs=7
        revisor.max_length=777  revisor.too_long=truncate  revisor.warmup_ratio=0.7  revisor.schedule=linear
        revisor.load_in_4bit=true  revisor.learning_rate=0.7  revisor.batching=packed  revisor.weight_decay=0.7
    """,
    "synthesize": "synthesize.rows=7",
    "synthesize audit": "synthesize.generator=junior  synthesize.generator={senior: 3, junior: 1}",
    "revise": """
        revise.sampling_temperature=0.5  revise.top_p=0.9  revise.dedup_threshold=0.7  revise.dedup_words=2
        revise.dedup_permutations=60
        decontaminate.against=[org/bench]  decontaminate.coverage=0.9  decontaminate.drop=[exact]
        decontaminate.max_texts=7  decontaminate.against=[]
    """,
    "mine": """
        mine.embedder=org/m  mine.depth=7  mine.negatives=7  mine.margin=0.2  mine.least_rows=0.7  mine.siblings=7
    """,
    "relabel": """
        relabel.by=judge  relabel.mode=keep  relabel.positive_share=0.9  relabel.negative_share=0.1
        relabel.min_score=0.1  relabel.max_moved=9  relabel.reranker=org/r
    """,
    "embedder": f"embedder.rows=7  embedder.rng_seed=7  embedder.labelled=[{LABELLED}]"
    "  embedder.merge={seeds: [1, 2]}  embedder.merge={models: [org/m]}  embedder.exports=[onnx]",
    "embedder scaling": """
        embedder.target_modules=[q_proj]
        embedder.lora_r=8  embedder.lora_alpha=8  embedder.lora_dropout=0.2  embedder.loss_temperature=0.7
        embedder.learning_rate=0.7  embedder.warmup_steps=7  embedder.weight_decay=0.7  embedder.batch_size=7
        embedder.distil=0.7  embedder.teacher=org/t
        embedder.epochs=7  embedder.batching=mixed  embedder.false_negative_margin=0.7  embedder.matryoshka=[7]
    """,
    "embedder evaluate scaling": """
        embedder.base_model=org/other  embedder.pooling=mean  embedder.max_length=77  embedder.instructions=none
    """,
    "embedder audit scaling": "embedder.data=synthesize",
    "revise evaluate scaling": "evaluate.benchmarks=[org/bench]",
    "evaluate scaling": "evaluate.instructions={}",
    "audit": "audit.rows=7",
    "questions": """
        questions.rows=7  questions.test_rows=7  questions.per_passage=7  questions.instruction=Find
        questions.kinds=single  questions.styles=[claim]  questions.audiences=[me]  questions.reasoning=[why]
        questions.difficulty=[hard]  questions.copied_run=7  questions.copied_share=0.7
        questions={prompt: short, kinds: [single]}
    """,
    "questions filter": "questions.generator=senior",
    "filter": "filter.top_k=7  filter.answer_overlap=0.7  filter.judge=teacher  filter.embedder=org/e",
    "scaling": "scaling.sizes=[7,8]  scaling.rng_seeds=[7]",
}

# Prompts and answers' schemas: what is changed → which stages move, under `speed` (no bitext, generators in no chat).
PROMPTS = {
    "system": "brainstorm seed preference revision audit",
    "Tasks": "brainstorm",
    "retrieval.brainstorm": "brainstorm",
    "retrieval.task_examples": "brainstorm",
    "sts.fixed_task": "brainstorm",
    "retrieval.opening": "seed root synthesize",
    "sts.guidelines": "seed root synthesize",
    "classification.closing": "seed root synthesize",
    "retrieval.knobs": "seed root synthesize",
    "sts.answer": "seed root revision synthesize revise audit",
    "JUDGE": "preference",
    "Verdict": "preference",
    "REVISION": "revision revise audit",
    "IMPROVE": "revision revise",
    "MAY_KEEP": "audit",
    "Revision": "revision revise audit",
    "bitext.opening": "",
}


def fingerprints(recipe: Recipe) -> dict[str, str]:
    """Stage → fingerprint, with inputs from the Hub at a version that follows their name."""
    found = {}
    for stage in STAGES.values():
        refs = {
            name: Ref("dataset", "x", digest_of(source.name)[:40])
            if isinstance(source, FromHub)
            else Ref("dataset", f"org/{source.name}", "0" * 40)
            for name, source in stage.inputs(recipe).items()
        }
        found[stage.name] = fingerprint_of(stage.identity(recipe, refs))
    return found


def moved(before: Recipe, after: Recipe) -> set[str]:
    """The stages that move between two recipes."""
    one, other = fingerprints(before), fingerprints(after)
    return {name for name in one if one[name] != other[name]}


def changes(text: str) -> list[str]:
    """The `--set` values of a table's cell: they are two spaces or a line apart."""
    return [change for line in text.strip().splitlines() for change in line.strip().split("  ")]


ROWS = [(change, stages) for stages, text in FIELDS.items() for change in changes(text)]


@pytest.mark.parametrize(("change", "stages"), ROWS, ids=[change for change, _ in ROWS])
def test_a_recipe_field_moves_just_the_stages_that_read_it(change: str, stages: str) -> None:
    if "unused" in change:
        pytest.skip("the type has no knob")
    needed = (
        ["evaluate.benchmarks=[org/b]", "evaluate.instructions={org/b: Find it}"] if "instructions" in change else []
    )
    needed += ["embedder.data=relabel"] if "distil=" in change else []
    assert moved(load("speed", needed), load("speed", [*needed, change])) == set(stages.split())


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every field of a recipe, sections opened."""
    for name, field in model.model_fields.items():
        inner = [a for a in (field.annotation, *get_args(field.annotation)) if isinstance(a, type)]
        section = next((a for a in inner if issubclass(a, BaseModel)), None)
        if section and field.annotation is section:
            yield from leaves(section, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_field_of_a_recipe_is_in_the_table() -> None:
    written = {change.partition("=")[0] for change, _ in ROWS}
    known = {name for name in leaves(Recipe) if name != "name"}
    whole = {name for name in known if name.partition(".")[0] in written or name.rpartition(".")[0] in written}
    assert known - written - whole - {"budget.max_usd"} == set()


def test_the_order_of_what_is_drawn_from_counts() -> None:
    drawn = {"seed", "root", "synthesize", "questions"}
    for one, other in (("{English: 1, German: 1}", "{German: 1, English: 1}"), ("{English: 1}", "{English: 1.0}")):
        assert moved(load("speed", [f"languages={one}"]), load("speed", [f"languages={other}"])) == (
            drawn if "German" in one else set()
        )


def test_fields_that_nothing_reads_here_move_what_reads_them_there() -> None:
    mining = [f"embedder.labelled=[{LABELLED}]"]
    for change in ("embedder.mine_to=50", "embedder.mine_margin=0.2", "embedder.miner_model=org/m"):
        assert moved(load("speed", mining), load("speed", [*mining, change])) == {"embedder"}
    licence = [mining[0].replace("mit", "cc-by-4.0")]
    assert moved(load("speed", mining), load("speed", licence)) == set()  # of the card alone
    margin = ["preference.signal=retrieval"]
    assert moved(load("speed", margin), load("speed", [*margin, "preference.embedder=org/e"])) == {"preference"}
    asked = moved(load("speed", margin), load("speed", [*margin, "teacher.model=other"]))
    assert "preference" not in asked and "revision" in asked
    whole = ["junior.lora_r=0"]
    for change in ("junior.lora_alpha=7", "junior.target_modules=all-linear"):
        assert moved(load("speed", whole), load("speed", [*whole, change])) == set()
    assert "target_modules" not in load("speed").embedder.deciding()  # all-linear: as it was before there was a choice
    assert moved(load("speed", mining), load("speed", [*mining, "embedder.miner_prompts=[a, b]"])) == {"embedder"}
    rows = [mining[0].replace("mit", "mit, rows: 7")]
    assert moved(load("speed", mining), load("speed", rows)) == set()  # of the plan alone
    drafts = ["embedder.data=synthesize"]  # near-duplicates are left out where an embedder is trained on them
    for change in ("revise.dedup_threshold=0.7", "revise.dedup_words=2", "revise.dedup_permutations=60"):
        assert moved(load("speed", drafts), load("speed", [*drafts, change])) == {"revise", "embedder", "scaling"}
    for checked in (mining, drafts):  # rows that were not checked before an embedder is trained on them
        assert "embedder" in moved(load("speed", checked), load("speed", [*checked, "decontaminate.coverage=0.9"]))
    off = ["decontaminate.against=[]"]
    assert moved(load("speed", off), load("speed", [*off, "decontaminate.coverage=0.9"])) == set()
    base = ["synthesize.generator=base"]
    assert moved(load("speed", base), load("speed", [*base, "generator.base_model=org/m"])) == {
        *("junior", "revisor", "synthesize", "questions", "filter"),
    }


@pytest.mark.parametrize(("name", "stages"), PROMPTS.items())
def test_a_prompt_moves_just_the_stages_that_render_it(name: str, stages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprints(load("speed"))
    kind, _, field = name.partition(".")
    if name == "system":
        monkeypatch.setattr(prompts, "SYSTEM", "You are somebody else.")
    elif not field and isinstance(found := getattr(prompts, name), str):
        monkeypatch.setattr(prompts, name, found + " Now.")
    elif not field:
        monkeypatch.setattr(prompts, name, create_model(name, __base__=found, more=(str, Field())))
    else:
        monkeypatch.setitem(TASK_TYPES, kind, dataclasses.replace(TASK_TYPES[kind], **{field: other(kind, field)}))
    after = fingerprints(load("speed"))
    assert {stage for stage in before if before[stage] != after[stage]} == set(stages.split())


@pytest.mark.parametrize(
    ("names", "stages"),
    [
        ("QUESTION FENCE KINDS STYLES GUIDELINES Question", "questions"),
        ("RECALL Recalled", "filter"),
        ("JUDGE Fitness", ""),
    ],
)
def test_a_prompt_about_passages_moves_just_the_stages_that_render_it(
    names: str, stages: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load("speed")
    judged = load("speed", ["filter.judge=teacher"])
    for name in names.split():
        before, found = (fingerprints(recipe), fingerprints(judged)), getattr(grounded, name)
        changed: Any = create_model("Other", __base__=found, more=(str, Field())) if isinstance(found, type) else None
        more = {str: " Now.", tuple: ("Now.",)}.get(type(found), {"more": "Now."})
        changed = changed or (found | more if isinstance(found, dict) else found + more)
        with monkeypatch.context() as patch:
            patch.setattr(grounded, name, changed)
            after = fingerprints(recipe), fingerprints(judged)
        assert {stage for stage in before[0] if before[0][stage] != after[0][stage]} == set(stages.split()), name
        assert stages or before[1]["filter"] != after[1]["filter"], name


def test_the_short_prompt_counts_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, short = load("speed"), load("speed", ["questions={prompt: short, kinds: [single]}"])
    before = fingerprints(usual), fingerprints(short)
    monkeypatch.setattr(grounded, "SHORT", grounded.SHORT + " Now.")
    monkeypatch.setattr(grounded, "GUIDELINES", (*grounded.GUIDELINES, "Now."))
    after = fingerprints(usual), fingerprints(short)
    assert all(was["questions"] != now["questions"] for was, now in zip(before, after, strict=True))
    monkeypatch.setattr(grounded, "SHORT", grounded.SHORT + " Again.")
    assert fingerprints(usual) == after[0]


def other(kind: str, field: str) -> Any:
    """Another value for a field of a task type."""
    value = getattr(TASK_TYPES[kind], field)
    if field == "answer":
        return create_model("Other", __base__=value, more=(str, Field()))
    if field == "knobs":
        return {**value, "more": {"a": 1.0}}
    return value + (" Now." if isinstance(value, str) else value[:1])


@pytest.mark.parametrize("name", ["speed_full", "e5_full", "e5_msmarco"])
def test_a_recipe_with_labelled_sets_finds_the_rows_of_the_one_without(name: str) -> None:
    recipe = load(name)
    moving = moved(load(name.partition("_")[0]), recipe)
    assert moving & {stage.name for stage in wanted(recipe)} <= {"embedder", "scaling"}
