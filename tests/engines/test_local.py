"""Ranks on one machine: each has its part of the GPUs."""

import sys
import threading
from pathlib import Path

import pytest

from hub_speed.engines import Options
from hub_speed.engines.local import Local


def test_ranks_share_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that writes down what it sees stands for Python."""
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\nfor last; do :; done\necho "rank $last sees $CUDA_VISIBLE_DEVICES"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,GPU-a,GPU-b")
    engine = Local(Options(("run", "toy"), tmp_path / "logs", 3))
    assert engine.run([0, 2], threading.Event()) == {0: 0, 2: 0}
    words = [engine.last_words(rank).partition(" (")[0] for rank in (0, 2)]
    assert words == ["rank 0 sees 0,1", "rank 2 sees GPU-a,GPU-b"]
