"""Recipes: YAML that lists where a run differs from the defaults here. Strict, frozen, two levels.

Every default says where it comes from, or *Assumption* where the papers are silent. Values here are identity: they are
part of a stage's fingerprint. Only `runtime` and `budget` are not: they say how fast and at what cost, never what.
"""

from hub_speed.recipe.base import MINER, Section, usual_prompts
from hub_speed.recipe.data import (
    GENERATORS,
    TOPIC_FILES,
    Audit,
    Brainstorm,
    Checks,
    Decontaminate,
    Match,
    Preference,
    Revise,
    RevisionSignals,
    Root,
    Seed,
    Synthesize,
    Teacher,
)
from hub_speed.recipe.documents import Corpus, Filter, Mine, QuestionKind, Questions, QuestionStyle, Relabel
from hub_speed.recipe.embedder import MINING, PUBLISHING, Embedder, Evaluate, Labelled, Merge, Pooling, Scaling
from hub_speed.recipe.generators import ALL_LINEAR, CHAT, Generator, Junior, Lora, Revisor, Senior, Sft, Tuning
from hub_speed.recipe.runtime import BATCH_PRICE, BudgetCaps, Runtime
from hub_speed.recipe.whole import Knobs, Recipe

__all__ = [
    "ALL_LINEAR",
    "BATCH_PRICE",
    "CHAT",
    "GENERATORS",
    "MINER",
    "MINING",
    "PUBLISHING",
    "TOPIC_FILES",
    "Audit",
    "Brainstorm",
    "BudgetCaps",
    "Checks",
    "Corpus",
    "Decontaminate",
    "Embedder",
    "Evaluate",
    "Filter",
    "Generator",
    "Junior",
    "Knobs",
    "Labelled",
    "Lora",
    "Match",
    "Merge",
    "Mine",
    "Pooling",
    "Preference",
    "QuestionKind",
    "QuestionStyle",
    "Questions",
    "Recipe",
    "Relabel",
    "Revise",
    "RevisionSignals",
    "Revisor",
    "Root",
    "Runtime",
    "Scaling",
    "Section",
    "Seed",
    "Senior",
    "Sft",
    "Synthesize",
    "Teacher",
    "Tuning",
    "usual_prompts",
]
