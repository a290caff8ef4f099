"""The passages of a corpus in memory, by number: 100,000 passages of 150 words take 0.2 GB."""

from collections.abc import Sequence
from pathlib import Path

from hub_speed.errors import StageError
from hub_speed.parquet import read_parquet
from hub_speed.record import Json

COLUMNS = ["id", "document", "start", "end", "title", "text", "group", "split"]


class Passages:
    """Passages in the order of their documents and places.

    Attributes:
        rows: `rows.PassageRow`s as dictionaries.
        numbers: id → number.
    """

    def __init__(self, rows: list[Json]) -> None:
        self.rows = sorted(rows, key=lambda row: (row["document"], row["start"], row["end"]))
        self.numbers = {row["id"]: i for i, row in enumerate(self.rows)}

    @classmethod
    def read(cls, folder: Path, split: str = "") -> "Passages":
        """All passages of a folder, or those of one split."""
        return cls([row for row in read_parquet(folder, COLUMNS) if split in ("", row["split"])])

    def __len__(self) -> int:
        return len(self.rows)

    def searched(self, numbers: Sequence[int]) -> list[str]:
        """What a search reads of the passages with these numbers: the headings above them, then their texts.

        As in BEIR and mteb, which put a title before its text.
        """
        rows = (self.rows[number] for number in numbers)
        return [f"{row['title']} {row['text']}".strip() for row in rows]

    def positives(self, question: Json) -> list[int]:
        """The numbers of the passages that answer a question; see `named`."""
        return self.named(question["positive_ids"], question["id"])

    def named(self, ids: list[str], question: str) -> list[int]:
        """The numbers of passages of a question.

        Raises:
            StageError: they are not in the corpus.
        """
        if lost := [name for name in ids if name not in self.numbers]:
            raise StageError(
                f"question {question}: its passage is not in the corpus",
                expected="the id of a passage of the question's split",
                got=", ".join(lost),
                fix="the questions belong to another version of the corpus: run both stages again",
            )
        return [self.numbers[name] for name in ids]
