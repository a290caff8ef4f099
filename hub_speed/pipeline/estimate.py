"""What a stage will take, before it runs: calls, tokens, cost, time; estimated from prompts rendered for the recipe.

Of a training: the tokens it reads, over all epochs. How long that takes depends on the machine and is not guessed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import mean

from hub_speed.generation import prompts
from hub_speed.generation.planning import plan_rows
from hub_speed.recipe import Recipe
from hub_speed.stage import Stage
from hub_speed.task_types import TASK_TYPES

TOKENS_PER_WORD = 4 / 3  # Assumption: the usual rule of thumb for English
SAMPLE = 230  # rows that are rendered: ten rounds of the paper's mixture
A_TASK = "Given a question about the topic at hand, find passages that answer it."  # a task of usual length
TOKENS_PER_S = 50  # that a server writes for one request. Assumption: a model of some ten billion weights on one GPU
REASON_WORDS = 40  # Assumption: an explanation in a sentence or three
TASK_WORDS = 15  # Assumption: a task is one sentence


@dataclass(frozen=True)
class Estimate:
    """What a stage will take.

    Attributes:
        model: the model that is asked, None where none is.
        rows: that are asked for or trained on.
        read, written: tokens.
        cost_usd: what the teacher's provider will charge; None where the recipe has no prices, or nobody charges.
        seconds: until all is answered, if the server keeps up with `runtime.in_flight` requests at once.
    """

    model: str | None
    rows: int
    calls: int
    read: int
    written: int
    cost_usd: float | None = None
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """Read and written together."""
        return self.read + self.written


def stage(s: Stage, recipe: Recipe, topics: int) -> Estimate:
    """An estimate for one stage; `topics` is the number of topics to brainstorm for."""
    sample, asks = _sample(recipe), partial(_asks, recipe)
    candidates, tasks = recipe.root.candidates * sample.answer, TASK_WORDS * recipe.brainstorm.tasks_per_prompt
    drafts = recipe.synthesize.rows
    preferences = min(recipe.preference.rows or recipe.root.rows, recipe.root.rows)
    revisions = min(recipe.revision.rows or recipe.root.rows, recipe.root.rows)
    sets = {"revise": 3, "synthesize": 1, "seed": 0}[recipe.embedder.data] if recipe.evaluate.audit_rows else 0
    audits = sets * recipe.evaluate.audit_rows
    drawn = recipe.seed.rows if recipe.embedder.data == "seed" else drafts
    revised = sample.revise + sample.answer + REASON_WORDS
    kinds = sum(TASK_TYPES[name].brainstorm is not None for name in recipe.mixture)
    estimates: dict[str, Callable[[], Estimate]] = {
        "brainstorm": lambda: asks("teacher", topics * kinds, _brainstorm_words(recipe), tasks),
        "seed": lambda: asks("teacher", recipe.seed.rows, sample.prompt, sample.answer),
        "root": lambda: asks("junior", recipe.root.rows, sample.prompt, candidates),
        "junior": lambda: _trains(recipe.seed.rows, sample.prompt + sample.answer, recipe.junior.epochs),
        "preference": lambda: asks("teacher", preferences, sample.prompt + sample.judge + candidates, REASON_WORDS),
        "senior": lambda: _trains(preferences, 2 * (sample.prompt + sample.answer), recipe.senior.epochs),
        "revision": lambda: asks("teacher", revisions, sample.revise, sample.answer + REASON_WORDS),
        "revisor": lambda: _trains(revisions, revised, recipe.revisor.epochs),
        "synthesize": lambda: asks(recipe.synthesize.generator, drafts, sample.prompt, sample.answer),
        "revise": lambda: asks("revisor", drafts, sample.revise, sample.answer + REASON_WORDS),
        "embedder": lambda: _trains(min(recipe.embedder.rows or drawn, drawn), sample.answer, recipe.embedder.epochs),
        "evaluate": lambda: asks("teacher", audits, sample.revise, sample.answer + REASON_WORDS),
        "scaling": lambda: _trains(
            sum(recipe.scaling.sizes) * len(recipe.scaling.rng_seeds), sample.answer, recipe.embedder.epochs
        ),
    }
    return estimates[s.name]()


def _asks(recipe: Recipe, model: str, calls: int, words_read: float, words_written: float) -> Estimate:
    """`calls` requests of so many words each."""
    read, written = (round(calls * words * TOKENS_PER_WORD) for words in (words_read, words_written))
    cost = recipe.purse.cost_usd(read, written) if model == "teacher" else None
    return Estimate(model, calls, calls, read, written, cost, written / TOKENS_PER_S / recipe.runtime.in_flight)


def _trains(rows: int, words: float, epochs: float) -> Estimate:
    """A training on rows of so many words each."""
    return Estimate(None, rows, 0, round(rows * words * TOKENS_PER_WORD * epochs), 0)


@dataclass(frozen=True)
class _Sample:
    """Mean words of a synthesis prompt, of an answer, of the judge's own words, and of a whole revision prompt."""

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
    return _Sample(prompt, answer, judge, revision + prompt + answer)


def _brainstorm_words(recipe: Recipe) -> float:
    kinds = [TASK_TYPES[name] for name in recipe.mixture if TASK_TYPES[name].brainstorm]
    if not kinds:  # of types whose task is always the same
        return 0.0
    return mean(len(f"{kind.brainstorm} {' '.join(kind.task_examples)}".split()) for kind in kinds)
