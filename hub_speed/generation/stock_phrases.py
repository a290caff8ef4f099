"""Phrases that come back in the answers to many prompts, as a generator repeats what was preferred before."""

from collections import Counter
from collections.abc import Sequence

from hub_speed.generation.dedup import shingles
from hub_speed.generation.parsing import Parsed, parse
from hub_speed.record import Json
from hub_speed.task_types import TASK_TYPES

STOCK_WORDS = 6
"""Words of a phrase. Assumption: runs of 8 find no stock sentence of a quickstart, because each names its subject."""


def stock_phrases(rows: Sequence[Json], share: float) -> set[str]:
    """The phrases that candidates of more than this share of a task type's other prompts have."""
    found: set[str] = set()
    for kind in {row["task_type"] for row in rows}:
        own = [row["candidates"] for row in rows if row["task_type"] == kind]
        counts = Counter(phrase for texts in own for phrase in set().union(*(phrases_of(kind, one) for one in texts)))
        found |= {phrase for phrase, count in counts.items() if count - 1 > share * (len(own) - 1)}
    return found


def phrases_of(task_type: str, candidate: str) -> set[str]:
    """The runs of `STOCK_WORDS` words in the values of a candidate; of one that cannot be read, none."""
    parsed = parse(candidate, TASK_TYPES[task_type].answer)
    values = parsed.answer.model_dump().values() if isinstance(parsed, Parsed) else ()
    return {run for value in values for run in shingles(value, STOCK_WORDS) if run.count(" ") == STOCK_WORDS - 1}
