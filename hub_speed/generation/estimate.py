"""What a stage will take, before it runs: calls, tokens, cost, time; estimated from prompts rendered for the recipe.

Of a training: the tokens it reads over all epochs, and its time on one A100; `generation/gpus.py` has it for other
GPUs. Whatever is estimated here is a rule of thumb: it says hours from weeks. As a check, E5's training (a 7B model,
1.8M rows, 18 h on 32 V100: §4.2) comes out for some 1,400 tokens a row, of at most 1,536.
"""

import re
from dataclasses import dataclass
from statistics import mean

from hub_speed.generation import prompts
from hub_speed.generation.planning import plan_rows
from hub_speed.mix import Mix, as_mix
from hub_speed.recipe import Recipe
from hub_speed.stage import Estimate
from hub_speed.task_types import TASK_TYPES

TOKENS_PER_WORD = 4 / 3  # Assumption: the usual rule of thumb for English
SAMPLE = 230  # rows that are rendered: ten rounds of the paper's mixture
A_TASK = "Given a question about the topic at hand, find passages that answer it."  # a task of usual length
TOKENS_PER_S = 50  # that a server writes for one request. Assumption: a model of some ten billion weights on one GPU
REASON_WORDS = 50  # Assumption: an explanation in two to four sentences
TASK_WORDS = 15  # Assumption: a task is one sentence
A100_FLOPS = 312e12  # a second, dense, in 16 bits: NVIDIA's data sheet
V100_FLOPS = 125e12  # the same
USE = 0.4  # of that in a training: 38 to 43% in Llama 3's (arXiv 2407.21783 Table 4)
SFT_PASSES = 6  # operations a weight and token (arXiv 2001.08361); an adapter has no gradients of the base's weights (2
# fewer), but reads every row twice, as gradients are checkpointed (2 more)
DPO_PASSES = 8  # and the reference model reads it once (2 more)
MTEB_V1_S = 3 * 24 * 3600 * 8 * V100_FLOPS / A100_FLOPS  # three days on 8 V100 for a 7B model (E5 App. C), on one A100

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
    mix: str | Mix | None = None,
) -> Estimate:
    """Requests of so many words each: as many as there are rows, or as these take at the expected yield.

    `mix` names the models behind `model`, where these are others.
    """
    calls = round(rows / (expected or 1))
    read, written = (round(calls * words * TOKENS_PER_WORD) for words in (words_read, words_written))
    cost = recipe.effective_budget.cost_usd(read, written) if model == "teacher" else None
    servers = 1 if model == "teacher" or recipe.runtime.server == "embedded" else recipe.runtime.replicas
    seconds = written / TOKENS_PER_S / (recipe.runtime.in_flight * servers)
    weights = as_mix(mix or model)
    parts = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    return Estimate(model, rows, calls, read, written, cost, seconds, expected, parts)


def trains(model: str, rows: int, words: float, epochs: float, passes: int = SFT_PASSES) -> Estimate:
    """A training of a model on rows of so many words each."""
    read = rows * words * TOKENS_PER_WORD * epochs
    return Estimate(None, rows, 0, round(read), 0, None, passes * weights(model) * read / (A100_FLOPS * USE))


def scores(recipe: Recipe, models: int) -> float:
    """Seconds to score so many embedders on MTEB(eng, v1); other benchmarks have no published time, and count as 0."""
    if "mteb:MTEB(eng, v1)" not in recipe.evaluate.benchmarks:
        return 0.0
    return models * MTEB_V1_S * weights(recipe.embedder.base_model) / 7e9


def weights(model: str) -> float:
    """How many weights a model has by its name ("Meta-Llama-3-8B": eight billion); 0 where the name does not say."""
    found = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)([bBmM])(?![a-zA-Z])", model)
    return float(found[1]) * (1e9 if found[2] in "bB" else 1e6) if found else 0.0


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
    """How many root rows are judged or revised."""
    return limit or recipe.root.rows


def embedder_rows(recipe: Recipe) -> int:
    """How many rows there are to train an embedder on."""
    if recipe.embedder.of_documents:
        return recipe.questions.rows
    return recipe.seed.rows if recipe.embedder.data == "seed" else recipe.synthesize.rows


def brainstorm_words(recipe: Recipe) -> float:
    """Mean words of a brainstorm prompt; 0 where every task type has a fixed task."""
    kinds = [TASK_TYPES[name] for name in recipe.mixture if TASK_TYPES[name].brainstorm]
    if not kinds:  # of types whose task is always the same
        return 0.0
    return mean(len(f"{kind.brainstorm} {' '.join(kind.task_examples)}".split()) for kind in kinds)
