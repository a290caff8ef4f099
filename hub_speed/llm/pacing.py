"""How many requests are open at once, which replica gets the next one, and how long a retry waits.

The number in flight follows the endpoint as TCP follows a network: it grows by a step while the endpoint answers, and
is halved when the endpoint says that it is too much. The least loaded replica is asked first. A replica that keeps
failing is set aside for a while, then tried again with a single request.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from hub_speed.llm.address import shown

TOLERATED = 0.05
"""Share of a round's requests that may be refused without slowing down. Assumption: a stray 429 is not an overload."""
STEPS = 20
"""Rounds without trouble from one request in flight to all of them. Assumption."""
FAILURES_TO_SET_ASIDE = 3
"""Failures of a replica, with no answer between them. Assumption: fewer happen to a healthy one."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0  # Assumption: our own waits double from half a second to a minute
LONGEST_RETRY_AFTER_S = 900.0  # Assumption: a server that asks for more than 15 minutes is asked again after them
SET_ASIDE_S, LONGEST_SET_ASIDE_S = 1.0, 60.0  # Assumption: doubles, as the waits between retries do

_log = logging.getLogger("hub_speed")


def wait_s(failures: int, asked: float | None) -> float:
    """Seconds to wait before a request is sent again: longer after each failure, and as long as the server asks.

    A server that says 0, or a time in the past, would otherwise get all retries at once.

    Args:
        failures: how often the request has failed, at least once.
        asked: what the server asks for (Retry-After), None when it does not say.
    """
    back_off = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)
    return max(back_off, min(asked or 0.0, LONGEST_RETRY_AFTER_S))


class Pace:
    """Slots for requests in flight, at most `most` of them.

    A round is as many answers as there were slots. Requests sent before the pace was last halved are not counted:
    they say nothing about the new pace.

    Attributes:
        most: may be changed at any time; from the next round on it counts.
        places: how many requests may be in flight now, rounded down.
        open: how many are in flight.
    """

    def __init__(self, most: int) -> None:
        self.places = float(most)
        self.open = 0
        self.most = most
        self._slowed = self._answers = self._refusals = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> int:
        """Waits for a slot; pass the result to `leave`."""
        if self._waiting or self.open >= int(self.places):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # the slot was given in the same moment
                    self._free()
                raise
        else:
            self.open += 1
        return self._slowed

    def leave(self, entered: int, *, refused: bool) -> None:
        """Releases a slot. `refused`: the request ended in 429, 503, 529 or a timeout."""
        if entered == self._slowed:
            self._answers += 1
            self._refusals += refused
            if self._refusals > max(1.0, TOLERATED * self.places):
                self._slowed += 1
                self._next_round(max(1.0, self.places / 2))
            elif self._answers >= self.places:
                calm = self._refusals <= TOLERATED * self.places
                self._next_round(min(self.most, self.places + calm * self.most / STEPS))
        self._free()

    def _next_round(self, places: float) -> None:
        self.places, self._answers, self._refusals = places, 0, 0

    def _free(self) -> None:
        self.open -= 1
        while self._waiting and self.open < int(self.places):
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self.open += 1
                turn.set_result(None)


@dataclass(eq=False)
class Replica:
    """One server of a model: its requests in flight, failures since its last answer, and when it may be asked again."""

    root: str
    open: int = 0
    failures: int = 0
    back_at: float = 0.0
    last_asked: int = 0


class Replicas:
    """The servers behind one name, by their base URLs."""

    def __init__(self, roots: list[str]) -> None:
        self.all = [Replica(root) for root in roots]
        self._asked = 0

    def pick(self, but: Sequence[Replica] = ()) -> Replica:
        """The least loaded replica; when all are set aside, the first to be back.

        None of `but` if there is another, else none of those that stand first there.
        """
        now, others = time.monotonic(), self.all
        while but and not (others := [replica for replica in self.all if replica not in but]):
            but = but[:-1]
        if len(self.all) == 1:
            chosen = self.all[0]
        elif here := [replica for replica in others if replica.back_at <= now]:
            chosen = min(here, key=lambda replica: (replica.open, replica.last_asked))
        else:
            chosen = min(self.all, key=lambda replica: replica.back_at)
        if chosen.failures >= FAILURES_TO_SET_ASIDE:
            self._set_aside(chosen, now)  # until the one request that tries it has come back
        self._asked += 1
        chosen.open, chosen.last_asked = chosen.open + 1, self._asked
        return chosen

    def leave(self, replica: Replica, *, failed: bool | None) -> None:
        """A request to a replica has ended; None: in a way that says nothing about the replica."""
        replica.open -= 1
        if failed:
            self.fail(replica)
        elif failed is not None:
            replica.failures, replica.back_at = 0, 0.0

    def fail(self, replica: Replica) -> bool:
        """Counts a failure of a replica; returns whether it is set aside from now on."""
        replica.failures += 1
        if replica.failures == FAILURES_TO_SET_ASIDE:
            _log.warning("replica %s keeps failing: set aside, tried again later", shown(replica.root))
        if replica.failures >= FAILURES_TO_SET_ASIDE:
            self._set_aside(replica, time.monotonic())
        return replica.failures == FAILURES_TO_SET_ASIDE

    def name(self, replica: Replica) -> str:
        """Which replica it is, without its address, which is not published."""
        return f"replica {self.all.index(replica) + 1} of {len(self.all)}"

    def miss(self, replica: Replica) -> None:
        """Sets aside a replica that does not answer, like one that keeps failing."""
        _log.warning("replica %s does not answer: set aside, tried again later", shown(replica.root))
        replica.failures = FAILURES_TO_SET_ASIDE
        self._set_aside(replica, time.monotonic())

    def _set_aside(self, replica: Replica, now: float) -> None:
        doublings = min(replica.failures - FAILURES_TO_SET_ASIDE, 10)
        replica.back_at = now + min(LONGEST_SET_ASIDE_S, SET_ASIDE_S * 2**doublings)
