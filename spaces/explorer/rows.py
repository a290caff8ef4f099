"""The published sets and their ledgers, page by page. Reading needs no model."""

from published import Json, Published
from tables import Filter, Found, Table

from hub_speed.errors import HubError, HubSpeedError
from hub_speed.grounded.asking import JUDGED
from hub_speed.rows import REASONS, STATES
from hub_speed.task_types import TASK_TYPES

SETS = {
    "revise": "training rows",
    "synthesize": "drafts",
    "seed": "the teacher's rows",
    "preference": "preferences",
    "revision": "revisions",
    "brainstorm": "tasks",
    "relabel": "relabelled rows",
    "mine": "mined rows",
    "filter": "filtered questions",
    "questions": "questions",
    "benchmark": "test questions",
    "corpus": "passages",
}
"""Stages whose rows can be looked at → what they are."""
QUESTIONED = ("filter", "mine", "relabel", "benchmark")
"""Stages whose ledgers are about questions that an earlier stage has published."""
MAX_ROWS = 5000  # topics to choose from
ROWS_A_PAGE = 10
MAX_TEXT_CHARS = 200
PARTS = ("query", "positive", "negative")
OF_ROWS = {"revised": True, "kept": False}
"""What `state` says of published rows, rather than of requests → their column `revised`."""


class Rows:
    """The sets of an organisation."""

    def __init__(self, published: Published) -> None:
        self.published = published

    def sets(self) -> list[tuple[str, str]]:
        """The sets that are there, as choices."""
        there = self.published.lineage()
        return [(label, name) for name, label in SETS.items() if name in there]

    def table(self, stage: str = "", part: str = "data") -> Table:
        """The rows of a set, the training rows unless another is named; or its ledger."""
        stage = stage or self.published.training()
        ref = self.published.ref(stage)
        return self.published.keep(f"{part} of {stage}", lambda: Table(self.published.hub, ref, part))

    def page(
        self,
        stage: str = "",
        task_type: str = "",
        language: str = "",
        state: str = "",
        reason: str = "",
        text: str = "",
        page: float | None = 1,
    ) -> Json:
        """One page of a set, or of its ledger: what became of every request, with reasons and raw answers.

        Agents are shown the first line of each argument.

        Args:
            stage: which set, by the stage that made it: synthesize, seed, questions, …; empty for the training rows.
            task_type: one that the set has; empty for all.
            language: of the rows; empty for all.
            state: empty; revised or kept, of rows; accepted, repaired, reasked, rejected or failed, of requests.
            reason: why requests were rejected: reads the ledger; empty for all.
            text: words that a row holds, in any case.
            page: counts from 1; a page after the last is the last.
        """
        stage = stage or self.published.training()
        self._check(stage, state, reason, text)
        self._check_there(stage, task_type, language)
        ledger = bool(reason) or state in STATES
        table = self.table(stage, "ledger" if ledger else "data")
        wanted = Filter(
            task_type, language, state if ledger else "", reason, None if ledger else OF_ROWS.get(state), text.strip()
        )
        found: Found = table.find(wanted)
        total = len(found.numbers)
        pages = max(1, -(-total // ROWS_A_PAGE))
        page = min(max(1, int(page or 1)), pages)
        ref, listed = (
            self.published.ref(stage),
            table.rows(found.numbers[(page - 1) * ROWS_A_PAGE : page * ROWS_A_PAGE]),
        )
        if ledger and stage in QUESTIONED:
            listed = [line | {"question": self._question(line["id"])} for line in listed]
        ref = self.published.ref(stage)
        return {
            "from": str(ref),
            "url": self.published.url(ref),
            "total": total,
            "of": table.total,
            "page": page,
            "pages": pages,
            "reasons": found.reasons,
            "notes": _notes(table, wanted, found),
            "rows": listed,
        }

    def row(self, name: str, stage: str = "") -> Json:
        """The row with an id, as a page of one row.

        Raises:
            HubError: the set has no such row.
        """
        stage = stage or self.published.training()
        self._check(stage, "", "", "")
        ref, row = self.published.ref(stage), self.table(stage).row(name[:MAX_TEXT_CHARS])
        if row is None:
            raise HubError(f"{ref} has no row {name[:MAX_TEXT_CHARS]}", fix="look for a text of the row instead")
        one: Json = {"from": str(ref), "url": self.published.url(ref), "total": 1, "of": self.table(stage).total}
        return one | {"page": 1, "pages": 1, "reasons": {}, "notes": [], "rows": [row]}

    def sample(self, size: int, stage: str = "") -> list[Json]:
        """Rows spread over a set."""
        table = self.table(stage)
        return table.rows(table.sample(size))

    def _question(self, name: str) -> str:
        """The question that a line of a ledger is about."""
        row = self.table("questions").row(name.removesuffix(JUDGED))
        return row["query"] if row else ""

    def _check(self, stage: str, state: str, reason: str, text: str) -> None:
        for name, value, known in (
            ("set", stage, SETS),
            ("state", state, {"": "", **OF_ROWS, **STATES}),
            ("reason", reason, {"": "", **REASONS}),
        ):
            if value not in known:
                expected = ", ".join(filter(None, known))
                raise HubSpeedError(f"There is no such {name}", expected=f"one of {expected}", got=value[:100])
        if len(text) > MAX_TEXT_CHARS:
            raise HubSpeedError("The text to look for is too long", expected=f"at most {MAX_TEXT_CHARS} characters")

    def _check_there(self, stage: str, task_type: str, language: str) -> None:
        """Raise HubSpeedError where the set has no rows of this task type, or in this language."""
        asked = (
            ("task type", task_type, lambda: self._task_types(stage)),
            ("language", language, self.published.languages),
        )
        for name, value, there in asked:
            if value and value not in (known := there()):
                expected = f"one of {', '.join(known)}, or none" if known else f"none: it is not divided by {name}"
                raise HubSpeedError(f"There is no such {name} in this set", expected=expected, got=value[:100])

    def _task_types(self, stage: str) -> list[str]:
        record = self.published.record(self.published.ref(stage))
        return [name for name in record.by_task_type if name in TASK_TYPES]


def _notes(table: Table, wanted: Filter, found: Found) -> list[str]:
    """What a reader should know about how rows were found."""
    notes = []
    if wanted.language and "language" not in table.columns:
        notes.append("This part of the set does not record the language: rows of all languages are shown.")
    if wanted.revised is not None and "revised" not in table.columns:
        notes.append("No revisor has read this set: all rows are shown.")
    if found.searched < table.total:
        notes.append(f"Only the first {found.searched:,} of {table.total:,} rows were searched for the text.")
    return notes
