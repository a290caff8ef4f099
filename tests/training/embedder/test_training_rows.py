"""Drafts are trained on without near-duplicates; other rows as they are published."""

from pathlib import Path

import pytest
from fake_openai import FakeOpenAI
from stage_run import Run

from hub_speed.parquet import read_parquet
from hub_speed.rows import DraftRow
from hub_speed.training.embedder import training_rows

POSITIVE = "Most oak trees live for two or three centuries, some much longer."
POSITIVES = [
    POSITIVE,
    POSITIVE.replace("Most", "Many"),
    "An oak drops its leaves in autumn, and its wood makes barrels.",
]


def draft(number: int, positive: str) -> dict[str, object]:
    texts = dict.fromkeys(DraftRow.model_fields, "")
    return texts | {"id": f"synthesize-{number}", "task_type": "sts", "positive": positive, "revised": False}


@pytest.mark.parametrize(("data", "left"), [("synthesize", ["synthesize-0", "synthesize-2"]), ("seed", None)])
def test_near_duplicates_of_drafts_are_left_out_and_counted(tmp_path: Path, data: str, left: list[str] | None) -> None:
    run = Run("embedder", tmp_path, FakeOpenAI(), embedder={"data": data})
    run.give("data", DraftRow, *(draft(number, positive) for number, positive in enumerate(POSITIVES)))
    run.ctx.work.mkdir(exist_ok=True)
    for _ in range(2):  # also after a kill
        rows = training_rows.folder(run.ctx)
        assert [row["id"] for row in read_parquet(rows)] == (left or [f"synthesize-{i}" for i in range(3)])
        assert run.record.measures.near_duplicates == (1 if left else None)
