"""Bitext retrieval (E5 only, SPEED drops it): a text, its translation, and a translation with mistakes.

query: `S1` in the row's language · positive: `S2` · negative: `S3`, both in the target language
Source: E5 Table 13 and Table 16; no brainstorming.
Differs: the prompt is worded anew; the two languages are drawn without repetition from the recipe's languages, as the
paper does not say how it pairs them (Assumption).
"""

from collections.abc import Mapping

from hub_speed.task_types.base import Answer, Guideline, TaskType, Text
from hub_speed.text import same, wrong_script


class Bitext(Answer):
    """A text and two translations of it."""

    S1: Text
    S2: Text
    S3: Text


def check(answer: Bitext, knobs: Mapping[str, str]) -> str | None:
    """The translations are the same, nothing was translated, or a text is in the wrong script."""
    if same(answer.S2, answer.S3):
        return "positive_equals_negative"
    if same(answer.S1, answer.S2):
        return "positive_equals_query"
    if wrong_script(knobs["language"], answer.S1) or wrong_script(knobs["target_language"], answer.S2, answer.S3):
        return "wrong_script"
    return None


_WORDS_PER_UNIT = {"sentence": 14, "phrase": 5, "passage": 60}  # Assumption, for estimates only.

TASK_TYPE = TaskType(
    name="bitext",
    paper_name="bitext retrieval",
    fixed_task="Retrieve parallel sentences",
    languages_per_row=2,
    opening="""Write three texts, each a {unit}, on the topic: {topic}
They are the strings "S1", "S2" and "S3" of a JSON object. S1 is in {language}, S2 and S3 are in {target_language}.
As translations of S1, on a scale from 1 to 5:""",
    guidelines=(
        Guideline("S2 is worth {high_score}."),
        Guideline("S3 is worth {low_score}: fluent, but some key words or numbers are wrong, left out or added."),
        Guideline("They need {difficulty} education to understand, and differ in subject and length."),
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
    example_knobs={"language": "English", "target_language": "German"},
)
