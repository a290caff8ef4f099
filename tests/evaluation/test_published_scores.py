"""The papers' scores beside ours."""

from typing import Any

import pytest

pytest.importorskip("torch")


from hub_speed.evaluation import published_scores as papers


def test_means_beside_the_papers_are_over_the_same_tasks() -> None:
    def scored(names: list[str]) -> list[dict[str, Any]]:
        return [
            {"subject": "embedder", "task_type": papers.TASKS[name][0], "benchmark": name}
            | {"value": papers.TASKS[name][1][0] / 100}  # as good as SPEED
            for name in names
        ]

    assert papers.comparison([]) == [] == papers.comparison([{"subject": "embedder", "benchmark": "org/x"}])
    head, ours, speed, *_ = few = papers.comparison(scored(["SciFact", "NFCorpus", "BIOSSES"]))
    assert head == ["mean over", "Retrieval (2)", "STS (1)", "all (3)"]
    assert ours[1:] == speed[1:] == ["54.2", "85.4", "64.6"] and len(few) == 2 + len(papers.COLUMNS)
    whole = papers.comparison(scored(list(papers.TASKS)))
    assert whole[0][-1] == "all (56)" and len(whole) == 2 + len(papers.COLUMNS) + len(papers.AVERAGES)
    # The means SPEED's Table 1 prints come out of its Table 8, and E5's out of its Table 17.
    assert whole[1][1:] == ["78.3", "48.6", "86.3", "59.8", "48.1", "82.6", "31.7", "63.4"]
    assert [row[-1] for row in whole[2:6]] == ["63.4", "63.1", "66.5", "66.6"]
