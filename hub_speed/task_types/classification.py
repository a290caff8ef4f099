"""Classification, the papers' "long-short match": a text, its label, and a label that is tempting but less apt.

query: `input_text` · positive: `label` · negative: `misleading_label`
Source: keys, knobs and guidelines as in SPEED App. C.2 and its released prompts (weights are in the code only).
Differs: the prompt is in our own words; that labels stay out of the text is checked as well as asked for.
"""

from collections.abc import Mapping

from hub_speed.task_types.base import TASKS_AS_JSON, Answer, Flaw, Guideline, TaskType, Text
from hub_speed.task_types.flaws import label_leak, positive_equals_negative, too_long, too_short, wrong_script
from hub_speed.text import word_range


class Classification(Answer):
    """A text with its labels."""

    input_text: Text
    label: Text
    misleading_label: Text


def check(answer: Classification, knobs: Mapping[str, str]) -> Flaw | None:
    """Equal labels, a label inside the text, a text of the wrong length, another script."""
    text, label, misleading = Classification.model_fields
    shortest, longest = word_range(knobs["text_length"])
    return (
        positive_equals_negative(answer, misleading, label)
        or label_leak(answer, text, label, misleading)
        or too_short(answer, (text,), shortest)
        or too_long(answer, (text,), longest, knobs["language"])
        or wrong_script(answer, (text,), knobs["language"])
    )


TASK_TYPE = TaskType(
    name="classification",
    brainstorm="""Think of {count} useful text classification tasks for the topic: {topic}

Some tasks of other topics, to show the form:
{examples}

- Spread them over different kinds of text and different uses.
- Leave out the usual ones: sentiment, subject, field of study, genre, main topic, spam, urgency, language.
- Each task is one sentence and differs from the others.
"""
    + TASKS_AS_JSON,
    task_examples=(
        "Classify a repair request by the room of the house that it concerns.",
        "Identify the time of day at which a diary entry was written.",
        "Identify the kind of damage that an insurance report describes.",
        "Classify a recipe as easy, demanding or for experts only.",
        "Given a letter to the editor, find out whether it agrees with the article it answers.",
        "Identify the trade of the person who wrote a work log.",
        "Given a customer's question, find the part of the product that it concerns.",
    ),
    examples_shuffled=True,
    opening="""Write one example for this text classification task: {task}
The example is a JSON object of three strings:
"input_text": a text to classify,
"label": the right label for this text,
"misleading_label": another label, which is tempting but incorrect for this text.""",
    guidelines=(
        Guideline("The text has {text_length}. It is worded in a way that other writers would not think of first."),
        Guideline("The misleading label answers the task as well: it would be right for some other text."),
        Guideline("Neither label stands in the text."),
        Guideline("Everything is in {language}."),
        Guideline("The text is {clarity} and takes {difficulty} level education to understand.", share=0.5),
    ),
    shuffled=True,
    closing="Answer with the JSON object only.",
    knobs={
        "text_length": {
            "less than 10 words": 0.1,
            "at least 10 words": 0.3,
            "at least 50 words": 0.2,
            "at least 100 words": 0.2,
            "at least 200 words": 0.2,
        },
        "clarity": {"clear": 0.6, "understandable with some effort": 0.2, "ambiguous": 0.2},
        "difficulty": {"high school": 1, "college": 1, "PhD": 1},
    },
    answer=Classification,
    query="input_text",
    positive="label",
    negative="misleading_label",
    check=check,
    words_expected=lambda knobs: 10 + 1.3 * word_range(knobs["text_length"])[0],
    example={
        "input_text": "The tap drips all night, and the cupboard under the basin is wet again since Monday.",
        "label": "plumbing",
        "misleading_label": "carpentry",
    },
    example_knobs={"text_length": "at least 10 words", "language": "English"},
)
