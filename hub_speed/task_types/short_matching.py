"""Short matching, the papers' "short-short match": two very short texts that belong together.

query: `input` · positive: `positive_document` · negative: none is asked for
Source: SPEED App. C.2 and its released prompts; E5 Table 10 (no hard negative, "reasonably difficult" as it is).
Differs: the prompt is worded anew; how short "very short" is, is a knob here, so that a check can hold it.
"""

from collections.abc import Mapping

from hub_speed.task_types.base import TASKS_AS_JSON, Answer, Flaw, Guideline, TaskType, Text
from hub_speed.task_types.flaws import positive_equals_query, too_long, wrong_script
from hub_speed.text import word_range


class ShortMatching(Answer):
    """Two short texts."""

    input: Text
    positive_document: Text


def check(answer: ShortMatching, knobs: Mapping[str, str]) -> Flaw | None:
    """The texts are the same, one is far too long, or in another script."""
    query, positive = ShortMatching.model_fields
    return (
        positive_equals_query(answer, positive, query)
        or too_long(answer, (query, positive), word_range(knobs["text_length"])[1], knobs["language"])
        or wrong_script(answer, (query, positive), knobs["language"])
    )


TASK_TYPE = TaskType(
    name="short_matching",
    paper_name="short-short match",
    brainstorm="""Think of {count} useful text matching tasks for the topic: {topic}
Both sides are very short: a phrase, or one or two sentences.

Some tasks of other topics, to show the form:
{examples}

- One sentence a task.
"""
    + TASKS_AS_JSON,
    task_examples=(
        "Given the name of a trade, match it with its usual workplace.",
        "Given a headline, match it with another headline on the same event.",
        "Given an abbreviation, match it with what it stands for.",
    ),
    opening="""Write one pair for this text matching task: {task}
It is a JSON object of two strings:
"input": a text,
"positive_document": a text that belongs to it.""",
    guidelines=(
        Guideline("Both are very short: a phrase or a sentence of {text_length}."),
        Guideline("They share as few words as they can."),
        Guideline("Each can be read without the other."),
        Guideline("Everything is in {language}."),
    ),
    shuffled=False,
    closing="Answer with the JSON object only.",
    knobs={"text_length": {"1 to 20 words": 1}},  # Assumption: the papers say "a sentence or a phrase".
    answer=ShortMatching,
    query="input",
    positive="positive_document",
    negative=None,
    check=check,
    words_expected=lambda knobs: 20,
    example={"input": "blacksmith", "positive_document": "a forge with an anvil"},
    example_knobs={"text_length": "1 to 20 words", "language": "English"},
)
