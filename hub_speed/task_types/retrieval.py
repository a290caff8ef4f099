"""Retrieval, the papers' "short-long match": a search query, a document that answers it, one that only seems to.

query: `user_query` · positive: `positive_document` · negative: `hard_negative_document`
Source: keys, knobs and guidelines as in SPEED App. C.2 and its released prompts (weights are in the code only).
Differs: the prompt is worded anew; the unfinished line after the task in the released prompt is gone.
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
    paper_name="short-long match",
    brainstorm="""Think of {count} useful text retrieval tasks for the topic: {topic}

Some tasks of other topics, to show the form:
{examples}

- Say in each task what the query is and which documents are wanted.
- Let each task cover many different queries; do not make it too specific.
- One sentence a task.
"""
    + TASKS_AS_JSON,
    task_examples=(
        "Given a question about home cooking, find passages that explain the step in question.",
        "Given the name of a medicine, find texts that describe its side effects.",
        "Given a short description of a software error, find posts that solve it.",
        "Given a claim about the weather, find reports that support or contradict it.",
        "Given a line of a poem, find essays that discuss the poem.",
        "Given a traveller's question, find guide book entries that answer it.",
        "Given the title of a law, find comments on how courts have applied it.",
    ),
    examples_shuffled=True,
    opening="""Write one example for this text retrieval task: {task}
It is a JSON object of three strings:
"user_query": a search query,
"positive_document": a document that answers it,
"hard_negative_document": a document that seems to answer it, but does so less well.""",
    guidelines=(
        Guideline("The query is {query_type}, has {query_length}, and is {clarity}."),
        Guideline("Each document has at least {min_words} words."),
        Guideline("Documents are written independently of the query and copy none of it."),
        Guideline("The positive may also speak of other things."),
        Guideline("The negative has useful information, too, but less of it."),
        Guideline("No document says why it fits or not."),
        Guideline("Everything is in {language}."),
        Guideline("It takes {difficulty} education to understand.", share=0.5),
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
