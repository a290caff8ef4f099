"""Short matching, the papers' "short-short match": two very short texts that belong together.

query: `input` · positive: `positive_document` · negative: none is asked for
Source: SPEED App. C.2 and its released prompts; E5 Table 10 (no hard negative, "reasonably difficult" as it is).
Differs: the prompt is in our own words. A knob says how short "very short" is, so that a check can hold it. So is
the style a knob: the papers draw nothing for this type, and all rows of a task would have the same prompt.
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
    brainstorm="""Think of {count} useful text matching tasks for the topic: {topic}
The query of each is very short, a phrase or one or two sentences, and so is what is matched with it.

Some tasks of other topics, to show the form:
{examples}

- Each task is one sentence and differs from the others.
"""
    + TASKS_AS_JSON,
    task_examples=(
        "Given a headline, retrieve other headlines on the same event.",
        "Given a short question to a help desk, retrieve questions that ask the same.",
        "Given the name of a trade, find the place where it is practised.",
    ),
    opening="""Write one pair for this text matching task: {task}
The pair is a JSON object of two strings:
"input": a text such as the task describes,
"positive_document": a text that the task matches with it.""",
    guidelines=(
        Guideline(
            "Both texts are very short: a phrase, or one or two sentences, of {text_length}. Their style is {style}."
        ),
        Guideline("Their subject is one that other writers would not think of first."),
        Guideline("They share as few words as they can."),
        Guideline("Each can be understood without the other."),
        Guideline("Everything is in {language}."),
    ),
    shuffled=False,
    closing="Answer with the JSON object only.",
    knobs={  # Assumptions: the papers say "a sentence or a phrase" here, and "one or two sentences" of the tasks.
        "text_length": {"less than 5 words": 1, "5 to 15 words": 1, "15 to 40 words": 1},
        "style": {"plain": 1, "formal": 1, "colloquial": 1, "technical": 1},
    },
    answer=ShortMatching,
    query="input",
    positive="positive_document",
    negative=None,
    check=check,
    words_expected=lambda knobs: 2.6 * word_range(knobs["text_length"])[0] + 4,
    example={"input": "blacksmith", "positive_document": "a forge with an anvil"},
    example_knobs={"text_length": "1 to 20 words", "language": "English"},
)
