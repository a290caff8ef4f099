"""Semantic textual similarity (monolingual): three texts, the first two close in meaning, the third less so.

query: `S1` · positive: `S2` · negative: `S3`
Source: keys, knobs and the fixed instruction as in SPEED App. C.2 and Fig. 9, E5 Tables 12 and 16; no brainstorming.
Differs: the prompt is in our own words.
"""

from collections.abc import Mapping

from hub_speed.task_types.base import ANY_LENGTH, UNIT_WORDS, Answer, Flaw, Guideline, TaskType, Text
from hub_speed.task_types.flaws import (
    positive_equals_negative,
    positive_equals_query,
    too_long,
    too_short,
    wrong_script,
)


class Similarity(Answer):
    """Three texts."""

    S1: Text
    S2: Text
    S3: Text


def check(answer: Similarity, knobs: Mapping[str, str]) -> Flaw | None:
    """Two of the texts are the same, or one is far from the asked length, or in another script."""
    first, second, third = Similarity.model_fields
    shortest, longest = UNIT_WORDS.get(knobs["unit"], ANY_LENGTH)
    return (
        positive_equals_query(answer, second, first)
        or positive_equals_negative(answer, third, first, second)
        or too_short(answer, (first, second, third), shortest)
        or too_long(answer, (first, second, third), longest, knobs["language"])
        or wrong_script(answer, (first, second, third), knobs["language"])
    )


_WORDS_PER_UNIT = {"sentence": 14, "phrase": 5, "passage": 60}  # Assumption, for estimates only.

TASK_TYPE = TaskType(
    name="sts",
    fixed_task="Retrieve semantically similar text",
    opening="""Write three texts, each a {unit}, on the topic: {topic}
They are the strings "S1", "S2" and "S3" of a JSON object.
Similarity of meaning is a number from 1 (no meaning in common) to 5 (the same meaning).""",
    guidelines=(
        Guideline("S1 and S2 have a similarity of {high_score}."),
        Guideline("S1 and S3 have a similarity of {low_score}."),
        Guideline("All three share some words."),
        Guideline("Everything is in {language}."),
        Guideline(
            "Subject and length of the texts are not the first that come to mind."
            " Each text takes {difficulty} level education to understand.",
            share=0.5,
        ),
    ),
    shuffled=False,
    closing="Answer with the JSON object only.",
    knobs={
        "unit": {"sentence": 0.9, "phrase": 0.05, "passage": 0.05},
        "high_score": {"4": 1, "4.5": 1, "5": 1},
        "low_score": {"2.5": 1, "3": 1, "3.5": 1},
        "difficulty": {"elementary school": 1, "high school": 1, "college": 1},
    },
    answer=Similarity,
    query="S1",
    positive="S2",
    negative="S3",
    check=check,
    words_expected=lambda knobs: 3 * _WORDS_PER_UNIT.get(knobs["unit"], 14),
    example={
        "S1": "The ferry leaves the island every morning at six.",
        "S2": "Each morning at six a ferry sails from the island.",
        "S3": "The island has had no ferry in the morning since the storm.",
    },
    example_knobs={"unit": "sentence", "language": "English"},
)
