"""How much each visitor may ask for: one row at a time, and so many an hour."""

import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from hub_speed.errors import Busy
from hub_speed.hosts import is_here

ROWS_AN_HOUR = 60  # of each visitor. Assumption: a small Space writes about one row a second in all
VISITORS_KNOWN = 10_000  # Assumption: whoever came least recently is forgotten


class Visitors:
    """Who asks how often. A visitor is known by the address, on this machine by the open page."""

    def __init__(self, an_hour: int = ROWS_AN_HOUR) -> None:
        self._an_hour = an_hour
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._busy: set[str] = set()

    @contextmanager
    def turn(self, request: gr.Request) -> Iterator[None]:
        """For as long as the block runs, it is this visitor's turn.

        Raises:
            Busy: the visitor's last request still runs, or the hour's rows are written.
        """
        page, now = str(request.session_hash), time.monotonic()
        host = request.client.host if request.client else ""
        times = self._times.setdefault(page if not host or is_here(host) else host, deque())
        self._times.move_to_end(page if not host or is_here(host) else host)
        while times and now - times[0] > 3600:
            times.popleft()
        if page in self._busy:
            raise Busy("A row of yours is still being written", fix="wait until it is done, or press Stop")
        if len(times) >= self._an_hour:
            minutes = round((3600 - (now - times[0])) / 60) + 1
            limit = f"{self._an_hour} rows an hour for each visitor"
            raise Busy("You have written many rows", expected=limit, fix=f"come back in {minutes} minutes")
        times.append(now)
        if len(self._times) > VISITORS_KNOWN:
            self._times.popitem(last=False)
        self._busy.add(page)
        try:
            yield
        finally:
            self._busy.discard(page)
