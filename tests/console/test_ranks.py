"""Ranks on the command line: flags that do not go together, and the table."""

import pytest

from hub_speed.console.ranks import check_flags, print_told
from hub_speed.errors import RecipeError
from hub_speed.shared import Progress


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((None, 0, 2, None, None), "ranks work one stage"),
        (("seed", 2, 2, None, None), "--rank 2"),
        (("seed", -1, 2, None, None), "--rank -1"),
        (("seed", 0, None, None, None), "of how many"),
        (("seed", 0, 2, 4, None), "--ranks: starts all ranks"),
        (("seed", 0, None, 3, None), "--ranks: starts all ranks"),
        (("seed", None, None, 0, None), "--ranks 0"),
        (("seed", None, 2, None, "seed"), "--from"),
    ],
)
def test_flags_that_do_not_go_together(
    flags: tuple[str | None, int | None, int | None, int | None, str | None], words: str
) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        check_flags(*flags)
    assert caught.value.exit_code == 2


def test_all_ranks_are_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    done = Progress(wave=2, turn=2, holder="node7 /tmp/w", state="finished", done=1200, total=1250, rows_per_s=7.5)
    lost = Progress(wave=2, turn=2, holder="node8 /tmp/w", state="stopped", error="the disk is full\n  got x")
    reason = RecipeError("/ranks/org/seed: rank-0003/finished.json cannot be used", fix="remove this file").args[0]
    torn = Progress(wave=0, turn=0, holder="", state="damaged", error=reason)
    print_told({"synthesize": [done, lost, None, torn]}, as_json=False)
    out = capsys.readouterr().out
    for word in (
        "synthesize",
        "1,200",
        "1,250",
        "7.5",
        "finished",
        "node7",
        "stopped",
        "the disk is full",
        "not begun",
        "damaged",
        "rank-0003/finished.json cannot be used",
        "remove this file",
    ):
        assert word in out
    print_told({}, as_json=False)
    assert "no ranks are at work" in capsys.readouterr().out
