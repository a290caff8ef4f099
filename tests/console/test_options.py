"""Flags that say where ranks run: none is ignored."""

import re
from pathlib import Path

import pytest

from hub_speed.console.options import check_machines, check_shared
from hub_speed.errors import RecipeError


@pytest.mark.parametrize(
    ("on", "ranks", "given", "words"),
    [
        ("slurm", None, {}, "--on slurm: says where ranks run, and none are started"),
        ("local", None, {"flavor": "a100-large"}, "--flavor: says where ranks run"),
        ("slurm", 4, {"address": "ray://head:10001"}, "--address: not for --on slurm"),
        ("local", 4, {"gpus_per_rank": 1}, "--gpus-per-rank: not for --on local"),
        ("ray", 4, {"timeout": "6h"}, "--timeout: not for --on ray"),
    ],
)
def test_a_flag_that_would_be_ignored_is_refused(on: str, ranks: int | None, given: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(words)) as caught:
        check_machines(on, ranks, {"partition": "", "gpus_per_rank": 0} | given)
    assert caught.value.exit_code == 2


def test_flags_that_belong_to_their_engine_are_not() -> None:
    check_machines("local", None, {"partition": "", "gpus_per_rank": 0})
    check_machines("slurm", 4, {"partition": "gpu", "gpus_per_rank": 1, "timeout": "6h"})
    check_machines("slrum", 4, {"partition": "gpu"})  # that there is no such engine is said elsewhere


def test_a_shared_folder_without_ranks_is_refused() -> None:
    check_shared(None, "--ranks")
    with pytest.raises(RecipeError, match="no ranks are meant"):
        check_shared(Path("shared"), "--ranks")
