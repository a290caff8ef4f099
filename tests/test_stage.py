"""How a stage is built: what is on the disk when the mark `built` is."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from fake_openai import FakeOpenAI
from stage_run import Run

from hub_speed import stage
from hub_speed.pipeline.table import STAGES
from hub_speed.rows import TaskRow
from hub_speed.stage import Context


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are read from /proc")
def test_every_file_is_flushed_before_the_mark_that_says_so(
    server: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may keep the mark and lose the files, unless these are flushed first, with their folders."""
    run, flushed, fsync = Run("brainstorm", tmp_path, server), list[tuple[Path, bool]](), os.fsync
    run.ctx.work.mkdir()

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        flushed.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")), (run.ctx.work / "built").exists()))

    def make(ctx: Context) -> None:
        (ctx.out / "data" / "sts").mkdir(parents=True)
        (ctx.out / "data" / "sts" / "train-00000.parquet").write_bytes(b"PAR1")

    monkeypatch.setattr(os, "fsync", watched)
    stage.build(replace(STAGES["brainstorm"], build=make, row=TaskRow), run.ctx, lambda stage, ctx: None)
    out = run.ctx.out
    before = {path for path, marked in flushed if not marked}
    assert before >= {out, *out.rglob("*")} and out / "data" / "sts" / "train-00000.parquet" in before
    assert {path for path, marked in flushed if marked} >= {run.ctx.work, run.ctx.work / "built"}
