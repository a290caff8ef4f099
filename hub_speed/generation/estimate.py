"""What a stage will take, before it runs: calls, tokens, cost, time; estimated from prompts rendered for the recipe.

Of a training: the tokens it reads, over all epochs. How long that takes depends on the machine and is not guessed.
"""

from dataclasses import dataclass
from statistics import mean

from hub_speed.generation import prompts
from hub_speed.generation.planning import plan_rows
from hub_speed.recipe import Recipe
from hub_speed.stage import Estimate
from hub_speed.task_types import TASK_TYPES

TOKENS_PER_WORD = 4 / 3  # Assumption: the usual rule of thumb for English
SAMPLE = 230  # rows that are rendered: ten rounds of the paper's mixture
A_TASK = "Given a question about the topic at hand, find passages that answer it."  # a task of usual length
TOKENS_PER_S = 50  # that a server writes for one request. Assumption: a model of some ten billion weights on one GPU
REASON_WORDS = 50  # Assumption: an explanation in two to four sentences
TASK_WORDS = 15  # Assumption: a task is one sentence


# Accepted rows for each request, until a run has shown them.
TEACHER_YIELD = 1.0  # SPEED Table 5 counts one call for each of its rows and signals
ROOT_YIELD = 1.0  # Assumption: at temperature 1, two of several answers always differ
DRAFT_YIELD = 0.9  # Assumption: SPEED does not say how many answers of its generator cannot be read


def asks(
    recipe: Recipe,
    model: str,
    rows: int,
    words_read: float,
    words_written: float,
    expected: float | None = None,
) -> Estimate:
    """Requests of so many words each: as many as there are rows, or as these take at the expected yield."""
    calls = round(rows / (expected or 1))
    read, written = (round(calls * words * TOKENS_PER_WORD) for words in (words_read, words_written))
    cost = recipe.effective_budget.cost_usd(read, written) if model == "teacher" else None
    seconds = written / TOKENS_PER_S / recipe.runtime.in_flight
    return Estimate(model, rows, calls, read, written, cost, seconds, expected)


def trains(rows: int, words: float, epochs: float) -> Estimate:
    """A training on rows of so many words each."""
    return Estimate(None, rows, 0, round(rows * words * TOKENS_PER_WORD * epochs), 0)


@dataclass(frozen=True)
class Words:
    """Mean words of a synthesis prompt, of an answer, of the judge's own words, and of a whole revision prompt."""

    prompt: float
    answer: float
    judge: float
    revise: float


def words(recipe: Recipe) -> Words:
    """Mean words of the recipe's prompts and answers, from a sample of rendered prompts."""
    pool = {name: [(A_TASK, "Arts/Movies")] for name in recipe.mixture}
    rows = list(plan_rows(recipe, "estimate", SAMPLE, pool))
    prompt = mean(len(row.prompt.split()) for row in rows)
    answer = mean(TASK_TYPES[row.task_type].words_expected(row.knobs) for row in rows)
    judge, revision = len(prompts.JUDGE.split()), len(prompts.REVISION.split())
    return Words(prompt, answer, judge, revision + prompt + answer)


def signals(recipe: Recipe, limit: int | None) -> int:
    """How many root prompts are judged or revised."""
    return min(limit or recipe.root.rows, recipe.root.rows)


def embedder_rows(recipe: Recipe) -> int:
    """How many rows there are to train an embedder on."""
    return recipe.seed.rows if recipe.embedder.data == "seed" else recipe.synthesize.rows


def brainstorm_words(recipe: Recipe) -> float:
    """Mean words of a brainstorm prompt; 0 where every task type has a fixed task."""
    kinds = [TASK_TYPES[name] for name in recipe.mixture if TASK_TYPES[name].brainstorm]
    if not kinds:  # of types whose task is always the same
        return 0.0
    return mean(len(f"{kind.brainstorm} {' '.join(kind.task_examples)}".split()) for kind in kinds)
