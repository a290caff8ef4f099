"""The table of the stages."""

from hub_speed.pipeline.table import STAGES
from hub_speed.record import tag_of


def test_every_data_stage_says_which_rows_it_makes() -> None:
    assert all(bool(s.row) == (s.kind == "dataset") for s in STAGES.values())
    assert tag_of("a" * 12) == "run-aaaaaaaaaaaa"
