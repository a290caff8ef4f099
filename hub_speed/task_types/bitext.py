"""Bitext retrieval (E5 only, SPEED drops it): a text, its translation, and a translation with mistakes.

query: `S1` in the row's language · positive: `S2` · negative: `S3`, both in the target language
Source: E5 Table 13 and Table 16; no brainstorming.
Differs: the prompt is in our own words; the two languages are drawn without repetition from the recipe's languages.
The paper does not say how it pairs them (Assumption).
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


class Bitext(Answer):
    """A text and two translations of it."""

    S1: Text
    S2: Text
    S3: Text


def check(answer: Bitext, knobs: Mapping[str, str]) -> Flaw | None:
    """Two of the texts are the same, or one is far from the asked length, or in the wrong script."""
    source, good, bad = Bitext.model_fields
    language, target = knobs["language"], knobs["target_language"]
    shortest, longest = UNIT_WORDS.get(knobs["unit"], ANY_LENGTH)
    return (
        positive_equals_negative(answer, bad, good, source)
        or positive_equals_query(answer, good, source)
        or too_short(answer, (source,), shortest)
        or too_short(answer, (good, bad), shortest)
        or too_long(answer, (source,), longest, language)
        or too_long(answer, (good, bad), longest, target)
        or wrong_script(answer, (source,), language)
        or wrong_script(answer, (good, bad), target)
    )


_WORDS_PER_UNIT = {"sentence": 14, "phrase": 5, "passage": 60}  # Assumption, for estimates only.

TASK_TYPE = TaskType(
    name="bitext",
    fixed_task="Retrieve parallel sentences",
    languages_per_row=2,
    opening="""Write three texts, each a {unit}, on the topic: {topic}
They are the strings "S1", "S2" and "S3" of a JSON object.
S1 is in {language}. S2 and S3 are translations of S1 into {target_language}.
The quality of a translation of S1 is a number from 1 (no meaning in common with S1) to 5 (all of its meaning).""",
    guidelines=(
        Guideline("S2 has a quality of {high_score}."),
        Guideline(
            "S3 has a quality of {low_score}: fluent, but some key words or numbers are wrong, missing or added."
        ),
        Guideline(
            "Subject and length of the texts are not the first that come to mind."
            " Each text takes {difficulty} level education to understand."
        ),
    ),
    shuffled=False,
    closing="Answer with the JSON object only.",
    knobs={
        "unit": {"sentence": 0.9, "phrase": 0.05, "passage": 0.05},
        "high_score": {"4": 1, "4.5": 1, "5": 1},
        "low_score": {"1.5": 1, "2": 1, "2.5": 1},
        "difficulty": {"elementary school": 1, "high school": 1, "college": 1},
    },
    answer=Bitext,
    query="S1",
    positive="S2",
    negative="S3",
    check=check,
    words_expected=lambda knobs: 3 * _WORDS_PER_UNIT.get(knobs["unit"], 14),
    example={
        "S1": "The bridge was closed for three days after the flood.",
        "S2": "Die Brücke war nach dem Hochwasser drei Tage lang gesperrt.",
        "S3": "Die Brücke war nach dem Hochwasser dreizehn Tage lang geöffnet.",
    },
    example_knobs={"unit": "sentence", "language": "English", "target_language": "German"},
)
