"""Scores by style and kind of the questions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.evaluation.question_groups import is_change, scores
from hub_speed.rows import QuestionScoreRow

STYLES = ("keyword", "natural", "claim")


@given(st.lists(st.tuples(st.sampled_from(STYLES), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_means_and_changes_are_those_of_the_groups_questions(found: list[tuple[str, float, float]]) -> None:
    queries = [{"_id": f"q{i}", "style": style, "kind": "single"} for i, (style, _, _) in enumerate(found)]
    items = [{"subject": "embedder", "item": f"q{i}", "value": after} for i, (_, after, _) in enumerate(found)]
    items += [{"subject": "base", "item": f"q{i}", "value": before} for i, (_, _, before) in enumerate(found)]
    rows = {(row["subject"], row["by"], row["group"]): row for row in scores(items, queries, "base")}
    for style in {style for style, _, _ in found}:
        mine = [(after, before) for one, after, before in found if one == style]
        after, before = np.mean(mine, axis=0)
        by_subject = {subject: row for (subject, _, group), row in rows.items() if group == style}
        assert np.allclose([by_subject["embedder"]["value"], by_subject["base"]["value"]], [after, before])
        change = by_subject["embedder − base"]
        assert np.isclose(change["value"], after - before) and is_change(change)
        assert change["low"] <= change["value"] + 1e-9 and change["value"] <= change["high"] + 1e-9
        assert change["n"] == len(mine)
    assert all(QuestionScoreRow.model_validate(row) for row in rows.values())
    assert next(iter(rows)) == ("embedder", "all", "all")
    assert {by for _, by, _ in rows} == {"all", "style", "kind"}


def test_a_subject_without_items_has_no_rows_and_nothing_changes() -> None:
    queries = [{"_id": "q", "style": "claim", "kind": "single"}]
    items = [
        {"subject": "BM25", "item": "q", "value": 0.5},
        {"subject": "BM25", "item": "of another set", "value": 1.0},
    ]
    assert {(row["subject"], row["value"], row["n"]) for row in scores(items, queries, "base")} == {("BM25", 0.5, 1)}
