"""Long matching, the papers' "long-long match": two long documents that belong together.

query: `input` · positive: `positive_document` · negative: none is asked for
Source: SPEED App. C.2 and its released prompts (at least 300 words each); E5 Table 11 (no hard negative).
Differs: the prompt is in our own words. The 300 words are a knob. So is the style: the papers draw nothing for
this type, and all rows of a task would have the same prompt.
"""

from collections.abc import Mapping

from hub_speed.task_types.base import TASKS_AS_JSON, Answer, Flaw, Guideline, TaskType, Text
from hub_speed.task_types.flaws import positive_equals_query, too_short, wrong_script

STYLES = ("factual", "narrative", "argumentative", "instructive", "descriptive", "conversational")  # Assumption


class LongMatching(Answer):
    """Two long documents."""

    input: Text
    positive_document: Text


def check(answer: LongMatching, knobs: Mapping[str, str]) -> Flaw | None:
    """The documents are the same, under the asked length, or in another script."""
    query, positive = LongMatching.model_fields
    return (
        positive_equals_query(answer, positive, query)
        or too_short(answer, (query, positive), int(knobs["min_words"]))
        or wrong_script(answer, (query, positive), knobs["language"])
    )


TASK_TYPE = TaskType(
    name="long_matching",
    brainstorm="""Think of {count} useful text matching tasks for the topic: {topic}
The query of each is a long document, and so is what is matched with it.

Some tasks of other topics, to show the form:
{examples}

- Each task is one sentence and differs from the others.
"""
    + TASKS_AS_JSON,
    task_examples=(
        "Given a report on a court case, retrieve reports on similar cases.",
        "Given the plan of a lesson, retrieve plans of lessons that build on it.",
    ),
    opening="""Write one pair for this text matching task: {task}
The pair is a JSON object of two strings:
"input": a document such as the task describes,
"positive_document": a document that the task matches with it.""",
    guidelines=(
        Guideline("Both documents are long: each has at least {min_words} words. Their style is {style}."),
        Guideline("Their subject is one that other writers would not think of first."),
        Guideline("They share as few words as they can."),
        Guideline("Each can be understood without the other."),
        Guideline("Everything is in {language}."),
    ),
    shuffled=False,
    closing="Answer with the JSON object only.",
    knobs={
        "min_words": {"300": 1},
        "style": dict.fromkeys(STYLES, 1),
    },
    answer=LongMatching,
    query="input",
    positive="positive_document",
    negative=None,
    check=check,
    words_expected=lambda knobs: 2.2 * int(knobs["min_words"]),
    example={
        "input": "The miller of our village grinds the corn of four farms. He starts at dawn, when the stream is high.",
        "positive_document": "Bread in the valley is baked once a week. Flour comes down on a cart and is stored dry.",
    },
    example_knobs={"min_words": "15", "language": "English"},
)
