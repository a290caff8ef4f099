"""How margins become a pair; verdicts are tested with their stage."""

from typing import Any

from hub_speed.generation.parsing import Rejected
from hub_speed.generation.preferences import Rank, choose


def test_the_largest_margin_over_a_hard_negative_is_chosen() -> None:
    row: dict[str, Any] = {"id": "root-0000000", "task_type": "sts", "prompt": "p", "candidates": list("abcd")}
    row["reasons"] = ["", "", "", "bad_json"]

    def pair(ranks: dict[int, Rank], row: dict[str, Any] = row) -> tuple[str, str] | str:
        found = choose(row, ranks)
        return found.reason if isinstance(found, Rejected) else (found.row["chosen"], found.row["rejected"])

    assert pair({0: (True, 0.2), 1: (True, 0.3), 2: (False, 0.9)}) == ("b", "d")
    fit = row | {"candidates": ["a", "b", "c"], "reasons": ["", "", ""]}
    assert pair({0: (True, 0.2), 1: (True, 0.3), 2: (False, 0.9)}, fit) == ("b", "c")
    assert pair({0: (True, 0.2), 1: (True, 0.3), 2: (True, -0.9)}, fit) == ("b", "c")
    assert pair({0: (True, 0.3), 1: (True, 0.3), 2: (True, 0.3)}, fit) == "tie"
    assert pair({0: (True, -0.1), 1: (False, 0.5), 2: (True, -0.2)}) == "no_margin"
    assert pair({0: (False, 0.5), 1: (False, 0.3)}) == "no_margin"
    assert pair({}) == "unfit_candidates"
