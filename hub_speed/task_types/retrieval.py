"""Retrieval, the papers' "short-long match": a search query, a document that answers it, one that only seems to.

query: `user_query` · positive: `positive_document` · negative: `hard_negative_document`
Source: keys, knobs and what each guideline asks as in SPEED App. C.2 and its released prompts (weights are in the code
only); that subjects vary, as in E5 Table 8.
Differs: the prompt is in our own words; the unfinished line after the task in the released prompt is gone.
"""

from collections.abc import Mapping

from hub_speed.task_types.base import TASKS_AS_JSON, Answer, Flaw, Guideline, TaskType, Text
from hub_speed.task_types.flaws import (
    positive_equals_negative,
    positive_equals_query,
    too_long,
    too_short,
    wrong_script,
)
from hub_speed.text import copies, word_range


class Retrieval(Answer):
    """A query with its documents."""

    user_query: Text
    positive_document: Text
    hard_negative_document: Text


def check(answer: Retrieval, knobs: Mapping[str, str]) -> Flaw | None:
    """Equal texts, a copied query, documents under the asked length, a query far over it, another script."""
    query, positive, negative = Retrieval.model_fields
    return (
        positive_equals_negative(answer, negative, positive, query)
        or positive_equals_query(answer, positive, query)
        or _copied(answer)
        or too_short(answer, (positive, negative), int(knobs["min_words"]))
        or too_long(answer, (query,), word_range(knobs["query_length"])[1], knobs["language"])
        or wrong_script(answer, (query, positive, negative), knobs["language"])
    )


def _copied(answer: Retrieval) -> Flaw | None:
    """The positive contains the query word for word."""
    if copies(answer.positive_document, answer.user_query):
        return Flaw("copied_text", "positive_document contains the whole user_query")
    return None


TASK_TYPE = TaskType(
    name="retrieval",
    brainstorm="""Think of {count} useful text retrieval tasks for the topic: {topic}

Some tasks of other topics, to show the form:
{examples}

- Say in each task what the query is and which documents are wanted.
- Let each task cover many different queries; do not make it too specific.
- Each task is one sentence and differs from the others.
"""
    + TASKS_AS_JSON,
    task_examples=(
        "Given a question about home cooking, retrieve passages that explain the step in question.",
        "Given the name of a medicine, retrieve texts that describe its side effects.",
        "Given the error message of a program, retrieve forum posts that solve the problem.",
        "Given a claim about the weather, retrieve reports that support or contradict it.",
        "Given the title of a novel, retrieve reviews of the novel.",
        "Given a traveller's question, retrieve guidebook entries that answer it.",
        "Given the name of a law, retrieve comments on how courts have applied it.",
    ),
    examples_shuffled=True,
    opening="""Write one example for this text retrieval task: {task}
The example is a JSON object of three strings:
"user_query": a search query such as the task describes,
"positive_document": a document that the task wants for this query,
"hard_negative_document": a document that looks right for this query, but serves it less well.""",
    guidelines=(
        Guideline(
            "The query is {query_type}, has {query_length}, and is {clarity}."
            " Its subject is one that other writers would not think of first."
        ),
        Guideline("Each document has at least {min_words} words."),
        Guideline("Each document reads as if its author had not seen the query, and does not repeat it word for word."),
        Guideline("A part of the positive document may be about something else."),
        Guideline(
            "The hard negative document is of some use for the query, but of clearly less use than the positive one."
        ),
        Guideline("No document says why it fits the query or does not."),
        Guideline("Everything is in {language}."),
        Guideline("Query and documents take {difficulty} level education to understand.", share=0.5),
    ),
    shuffled=True,
    closing="Answer with the JSON object only.",
    knobs={
        "query_type": {"extremely long-tail": 0.4, "long-tail": 0.5, "common": 0.1},
        "query_length": {"less than 5 words": 0.4, "5 to 15 words": 0.4, "at least 10 words": 0.2},
        "clarity": {"clear": 0.6, "understandable with some effort": 0.2, "ambiguous": 0.2},
        "min_words": {"50": 1, "100": 1, "200": 1, "300": 1, "400": 1, "500": 1},
        "difficulty": {"high school": 1, "college": 1, "PhD": 1},
    },
    answer=Retrieval,
    query="user_query",
    positive="positive_document",
    negative="hard_negative_document",
    check=check,
    words_expected=lambda knobs: 20 + 2.2 * int(knobs["min_words"]),
    example={
        "user_query": "why do onions make you cry",
        "positive_document": "Cutting an onion breaks its cells, and an enzyme turns their sulphur into a gas."
        " The gas meets the water of the eye and forms a mild acid, so the eye answers with tears. A cold onion and a"
        " sharp knife set less of it free, which is why cooks chill onions before they slice them for soup.",
        "hard_negative_document": "Onions keep for months in a dry and dark place with moving air. They should not lie"
        " beside potatoes, because both give off moisture and then sprout. Once an onion is cut, wrap it well and use"
        " it within a week; its smell spreads to milk and butter faster than most cooks would like to believe.",
    },
    example_knobs={"query_length": "5 to 15 words", "min_words": "50", "language": "English"},
)
