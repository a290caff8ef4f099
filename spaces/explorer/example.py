"""A finished example for the first screen: a published row with its draft, its revision and the reason. No model."""

import numpy as np
from looks import alike, draft_of
from published import Json, Published
from rows import PARTS, Rows
from tables import Filter

from hub_speed.generation.parsing import Rejected, parse
from hub_speed.generation.prompts import Revision
from hub_speed.generation.topics import spoken

LOOKED_AT = 1000  # rows, and lines of the ledger. Assumption: enough to find one that is easy to read
CLEAR = 0.75  # of the words are in common. Assumption


def example(published: Published, task_type: str) -> Json:
    """A published row as `Writer.write` would have yielded it.

    Of the first rows, one in which the revisor changed little enough to be seen at once; any row where there is none.
    """
    return published.keep(f"example of {task_type}", lambda: _read(published, task_type))


def _read(published: Published, task_type: str) -> Json:
    table = Rows(published).table("revise")
    numbers = table.find(Filter(task_type)).numbers[:LOOKED_AT]
    rows = table.rows(numbers, ("id", "topic", "instruction", *PARTS, "revised", "draft", "task_type"))
    answers = published.keep("answers of the revisor", lambda: _answers(published))
    found = [(row, why) for row in rows if (why := _reason(answers.get(row["id"], "")))]
    row, why = next((pair for pair in found if _is_clear(pair[0])), next(iter(found), (rows[0], "")))
    after, before = ({part: columns[part] for part in PARTS} for columns in (row, draft_of(row)))
    told: Json = {"verdict": "well-formed", "tokens": 0, "seconds": 0}
    return {
        "example": str(published.ref("revise")),
        "topic": spoken(row["topic"]),
        "task": row["instruction"],
        "draft": told | {"row": before, "text": row["draft"]},
        "revised": told | {"row": after, "why": why, "changed": row["revised"], "text": answers.get(row["id"], "")},
    }


def _answers(published: Published) -> dict[str, str]:
    """Row → what the revisor answered, of the first lines of the ledger."""
    ledger = Rows(published).table("revise", "ledger")
    lines = ledger.rows(np.arange(min(LOOKED_AT, ledger.total)), ("id", "completions"))
    return {line["id"]: line["completions"][0] for line in lines if line["completions"]}


def _reason(answer: str) -> str:
    parsed = parse(answer, Revision)
    return "" if isinstance(parsed, Rejected) else parsed.answer.reason


def _is_clear(row: Json) -> bool:
    """Whether something changed, and no part so much that the change is hard to see."""
    before = draft_of(row)
    return bool(row["revised"]) and all(alike(before[part], row[part]) >= CLEAR for part in PARTS)
