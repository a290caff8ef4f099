"""Rows are accepted rows: how many of each task type a stage wants, and how many it has asked for.

The rows of a task type have a fixed order, that of their ids, and the first ones that are accepted are published. A
stage asks for as many as it wants. When all of these have ended, it asks for the next rows of the types that are short,
and so on, wave after wave. How many are asked for at once never decides what is published: neither does a kill, and
whoever wants more gets the same rows and others.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hub_speed.generation.ledger import Ledger
from hub_speed.mix import shares
from hub_speed.record import Json
from hub_speed.stage import SURPLUS

MOST = 4  # requests for each row that is wanted. Assumption: a model that needs more is unfit for the task type


@dataclass
class Quota:
    """The rows of one stage at work, by task type.

    Attributes:
        wanted: how many accepted rows are wanted.
        most: how many are asked for at most.
        strict: whether it is worth a note that fewer were accepted than are wanted.
        requests: how many requests a row takes.
        asked: how many have been asked for so far: the first ones, in the order of their ids.
    """

    wanted: Mapping[str, int]
    most: Mapping[str, int]
    strict: bool = True
    requests: int = 1
    asked: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.asked = {name: min(count, self.most.get(name, 0)) for name, count in self.wanted.items()}

    @classmethod
    def of(cls, mixture: Mapping[str, float], rows: int) -> "Quota":
        """So many rows, dealt out by the mixture."""
        wanted = shares(mixture, rows)
        return cls(wanted, {name: MOST * count for name, count in wanted.items()})

    @classmethod
    def of_signals(cls, mixture: Mapping[str, float], rows: int | None, root: Iterable[Json]) -> "Quota":
        """So many signals, each from a root row of its own; None: whatever the root rows give."""
        there = Counter(row["task_type"] for row in root)
        return cls(there if rows is None else shares(mixture, rows), there, strict=rows is not None)

    @property
    def total(self) -> int:
        """How many requests the rows asked for so far take."""
        return self.requests * sum(self.asked.values())

    def resume(self, ledger: Ledger) -> None:
        """Go on where an earlier run has stopped."""
        self.asked |= ledger.asked()

    def ask_more(self, ledger: Ledger) -> bool:
        """Raise `asked` where rows are short, by as many as should do at the yield so far; whether there are any."""
        accepted, more = ledger.accepted_by_type(), {}
        for name, wanted in self.wanted.items():
            got, asked = accepted[name], self.asked[name]
            short, room = wanted - got, self.most.get(name, 0) - asked
            if short > 0 and room > 0:
                more[name] = asked + min(room, short * asked // got if got else short)
        self.asked |= more
        ledger.note_asked(self.asked)
        return bool(more)

    def drop_surplus(self, ledger: Ledger) -> None:
        """Reject the accepted rows beyond those that are wanted."""
        for name, wanted in self.wanted.items():
            ledger.drop(ledger.accepted_beyond(name, wanted), SURPLUS)

    def shortfalls(self, ledger: Ledger) -> Iterator[str]:
        """A sentence on each task type of which fewer rows were accepted than are wanted."""
        accepted = ledger.accepted_by_type() if self.strict else self.wanted
        for name, wanted in self.wanted.items():
            if accepted[name] < wanted:
                yield (
                    f"{name}: {accepted[name]:,} of {wanted:,} rows were accepted;"
                    f" {self.asked[name]:,} were asked for, and at most {self.most.get(name, 0):,} may be"
                )
