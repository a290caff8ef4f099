"""The published rows, and what the ledgers say of those that were rejected. Reading needs no model."""

from collections import Counter
from itertools import islice

from published import Json, Published

from hub_speed.parquet import read_parquet
from hub_speed.rows import ACCEPTED

MAX_ROWS = 5000  # of each task type, and of each ledger. Assumption: what is held in memory for all visitors
ROWS_A_PAGE = 10
PARTS = ("query", "positive", "negative")


class Rows:
    """The rows of what an organisation has published."""

    def __init__(self, published: Published) -> None:
        self.published = published

    def page(self, task_type: str = "", rejected: bool = False, page: int = 1) -> Json:
        """A page of the published rows, or of the ledger lines of what was rejected, with reasons and raw text.

        Args:
            task_type: one of the six; empty for all.
            rejected: whether to look into the ledgers (of drafts and of revised rows) instead.
            page: counts from 1.
        """
        found = self.rejected() if rejected else self.published_rows()
        found = [row for row in found if task_type in ("", row["task_type"])]
        pages = max(1, -(-len(found) // ROWS_A_PAGE))
        page = min(max(1, int(page)), pages)
        return {
            "from": [str(self.published.ref(n)) for n in (("synthesize", "revise") if rejected else ("revise",))],
            "total": len(found),
            "page": page,
            "pages": pages,
            "reasons": dict(Counter(row["reason"] for row in found).most_common()) if rejected else {},
            "rows": found[(page - 1) * ROWS_A_PAGE : page * ROWS_A_PAGE],
        }

    def published_rows(self) -> list[Json]:
        """The published rows by id, at most MAX_ROWS of each task type."""
        columns = ["id", "task_type", "topic", "instruction", *PARTS, "revised", "draft"]

        def read() -> list[Json]:
            ref = self.published.ref("revise")
            folder = self.published.hub.fetch(ref, "data/*/train-00000.parquet") / "data"
            parts = [islice(read_parquet(part, columns), MAX_ROWS) for part in sorted(folder.iterdir())]
            return sorted((row for part in parts for row in part), key=lambda row: row["id"])

        return self.published.keep("rows", read)

    def rejected(self) -> list[Json]:
        """The ledger lines of what was rejected or failed, at most MAX_ROWS of each; `stage` names the ledger."""
        columns = ["id", "task_type", "state", "reason", "detail", "duplicate_of", "completions"]

        def read() -> list[Json]:
            found: list[Json] = []
            for name in ("synthesize", "revise"):
                folder = self.published.hub.fetch(self.published.ref(name), "ledger/train-00000.parquet")
                lines = read_parquet(folder / "ledger", columns)
                lost = (line | {"stage": name} for line in lines if line["state"] not in ACCEPTED)
                found += islice(lost, MAX_ROWS)
            return found

        return self.published.keep("rejected", read)
