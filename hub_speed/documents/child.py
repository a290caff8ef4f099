"""A process that parses files from outside: it may crash, hang or use up its memory, and another one takes its place.

What goes through its pipes: to it, a line of JSON (the kind and the number of bytes) and the bytes; from it, a line of
JSON for each file.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any, BinaryIO

from hub_speed.documents.parsers import PARSERS, Parsed, Unreadable

TIME_S = 60
"""Seconds for one file. Assumption: a file that takes longer hangs, or is not worth the wait."""

MEMORY = 4 << 30
"""Bytes of memory that the process may use, where the system can limit it. Assumption."""


class Parser:
    """Parses one file after the other in another process, which is started when it is needed."""

    def __init__(self, time_s: float = TIME_S) -> None:
        self._time_s, self._process = time_s, None

    _process: "subprocess.Popen[bytes] | None"

    def parse(self, kind: str, raw: bytes) -> Parsed:
        """What a file says, of a kind that `PARSERS` names.

        Raises:
            Unreadable: the file gives no text, or takes too long.
        """
        process = self._process = self._process or _start()
        assert process.stdin and process.stdout
        timer = Timer(self._time_s, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps([kind, len(raw)]).encode() + b"\n" + raw)
            process.stdin.flush()
            reply = process.stdout.readline()
        except BrokenPipeError:
            reply = b""
        finally:
            in_time = timer.is_alive()
            timer.cancel()
        if not reply.endswith(b"\n"):
            self.close()
            why = "the parser crashed, or needed too much memory" if in_time else f"took longer than {self._time_s:g} s"
            raise Unreadable("unreadable", why)
        answer = json.loads(reply)
        if "reason" in answer:
            raise Unreadable(**answer)
        return Parsed(**answer)

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextmanager
def parser(time_s: float = TIME_S) -> Iterator[Parser]:
    """A parser whose process ends with the block."""
    found = Parser(time_s)
    try:
        yield found
    finally:
        found.close()


def _start() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "hub_speed.documents.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # parsers complain there about every font
    )


def _answer(kind: str, raw: bytes) -> dict[str, Any]:
    """What the process says about one file."""
    try:
        return PARSERS[kind](raw)._asdict()
    except Unreadable as error:
        return {"reason": error.reason, "detail": error.detail}
    except MemoryError:
        return {"reason": "too_large", "detail": f"parsing needs more than {MEMORY >> 30} GB of memory"}
    except Exception as error:  # whatever a parser raises about a broken file
        return {"reason": "unreadable", "detail": f"{type(error).__name__}: {' '.join(str(error).split()):.200}"}


def _serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Parse what comes until the pipe is closed."""
    while line := asked.readline():
        kind, size = json.loads(line)
        answers.write(json.dumps(_answer(kind, asked.read(size))).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not look like an answer
    _serve(sys.stdin.buffer, out)
