"""What a stage will take, before it runs: model calls and tokens, estimated from prompts rendered for the recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from hub_speed import prompts
from hub_speed.mixture import plan_rows
from hub_speed.recipe import Recipe
from hub_speed.stage import Stage
from hub_speed.task_types import TASK_TYPES

TOKENS_PER_WORD = 4 / 3  # Assumption: the usual rule of thumb for English
SAMPLE = 230  # rows that are rendered: ten rounds of the paper's mixture
A_TASK = "Given a question about the topic at hand, find passages that answer it."  # a task of usual length
REASON_WORDS = 40  # Assumption: an explanation in a sentence or three
TASK_WORDS = 15  # Assumption: a task is one sentence


@dataclass(frozen=True)
class Estimate:
    """What a stage will take; `model` is None where none is asked, `tokens` reads and writes together."""

    model: str | None
    rows: int
    calls: int
    tokens: int


def stage(s: Stage, recipe: Recipe, topics: int) -> Estimate:
    """An estimate for one stage; `topics` is the number of topics to brainstorm for."""
    sample = _sample(recipe)
    drafts = recipe.synthesize.rows
    preferences = min(recipe.preference.rows or recipe.root.rows, recipe.root.rows)
    revisions = min(recipe.revision.rows or recipe.root.rows, recipe.root.rows)
    sets = {"revise": 3, "synthesize": 1, "seed": 0}[recipe.embedder.data] if recipe.evaluate.audit_rows else 0
    audits = sets * recipe.evaluate.audit_rows
    kinds = sum(TASK_TYPES[name].brainstorm is not None for name in recipe.mixture)
    estimates: dict[str, Callable[[], Estimate]] = {
        "brainstorm": lambda: _asks("teacher", topics * kinds, _brainstorm_words(recipe)),
        "seed": lambda: _asks("teacher", recipe.seed.rows, sample.prompt + sample.answer),
        "root": lambda: _asks("junior", recipe.root.rows, sample.prompt + recipe.root.candidates * sample.answer),
        "preference": lambda: _asks(
            "teacher", preferences, sample.prompt + sample.judge + recipe.root.candidates * sample.answer + REASON_WORDS
        ),
        "revision": lambda: _asks("teacher", revisions, sample.revise + REASON_WORDS),
        "synthesize": lambda: _asks(recipe.synthesize.generator, drafts, sample.prompt + sample.answer),
        "revise": lambda: _asks("revisor", drafts, sample.revise + REASON_WORDS),
        "evaluate": lambda: _asks("teacher", audits, sample.revise + REASON_WORDS),
    }
    return estimates[s.name]() if s.name in estimates else Estimate(None, 0, 0, 0)


def _asks(model: str, calls: int, words: float) -> Estimate:
    return Estimate(model, calls, calls, round(calls * words * TOKENS_PER_WORD))


@dataclass(frozen=True)
class _Sample:
    """Mean words of a synthesis prompt, of an answer, of the judge's own words, and of a whole revision."""

    prompt: float
    answer: float
    judge: float
    revise: float


def _sample(recipe: Recipe) -> _Sample:
    pool = {name: [(A_TASK, "Arts/Movies")] for name in recipe.mixture}
    rows = list(plan_rows(recipe, "estimate", SAMPLE, pool))
    prompt = mean(len(row.prompt.split()) for row in rows)
    answer = mean(TASK_TYPES[row.task_type].words_expected(row.knobs) for row in rows)
    judge, revision = len(prompts.JUDGE.split()), len(prompts.REVISION.split())
    return _Sample(prompt, answer, judge, revision + prompt + 2 * answer)


def _brainstorm_words(recipe: Recipe) -> float:
    kinds = [TASK_TYPES[name] for name in recipe.mixture if TASK_TYPES[name].brainstorm]
    asked = mean(len(f"{kind.brainstorm} {' '.join(kind.task_examples)}".split()) for kind in kinds)
    return asked + TASK_WORDS * recipe.brainstorm.tasks_per_prompt
