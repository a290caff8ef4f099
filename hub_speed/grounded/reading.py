"""What becomes of the answers to the prompts about passages."""

import re
from collections import Counter

from hub_speed.generation import examples
from hub_speed.generation.echo import echo, plain
from hub_speed.generation.jobs import Accepted, Outcome
from hub_speed.generation.parsing import Rejected, parse
from hub_speed.generation.unwritten import unwritten
from hub_speed.grounded import prompts
from hub_speed.grounded.planning import PlannedQuestion
from hub_speed.grounded.sources import named_source
from hub_speed.llm.dialects import Completion
from hub_speed.recipe import Questions
from hub_speed.record import Json
from hub_speed.text import too_long, words, wrong_script

LONGEST = 40  # words of a query; one of more than twice as many is rejected. Assumption
LONGEST_RECALLED = 15  # words of an answer in which another may stand. Assumption: a longer one lists guesses


def read_question(planned: PlannedQuestion, completion: Completion, generator: str, settings: Questions) -> Outcome:
    """One answer to a question prompt as a row, or why not."""
    parsed = parse(completion.texts[0], prompts.Question, completion.finish_reasons[0])
    if isinstance(parsed, Rejected):
        return parsed
    query, answer = parsed.answer.query, parsed.answer.answer
    written = {"query": query, "answer": answer}
    if flaw := echo(written, planned.shown) or unwritten(written):
        return Rejected(*flaw)
    if mark := prompts.mark_in(f"{query} {answer}", planned.prompt):
        return Rejected("echo", f"the mark of the fence: {mark}")
    if plain(query) == plain(answer):
        return Rejected("echo", f"answer: the query again, {answer!r:.100}")
    if wrong_script(planned.language, query):
        return Rejected("wrong_script", f"query: asked for {planned.language}")
    if too_long(query, LONGEST):
        return Rejected("too_long", f"query: {len(words(query))} words, asked for at most {LONGEST}")
    if phrase := named_source(query):
        return Rejected("names_source", repr(phrase))
    for passage in planned.positives:
        share = copied_share(query, f"{passage['title']}\n{passage['text']}", settings.copied_run)
        if share > settings.copied_share:
            return Rejected("copies_passage", f"{share:.0%} of its words, of {passage['id']}")
    texts = {"completion": examples.compact(parsed.answer), "query": query, "answer": answer}
    found = texts | {"instruction": settings.instruction, "generator": generator}
    return Accepted(planned.columns() | found, parsed.repaired)


# --- wording that is copied -------------------------------------------------------------------------------------------

_SIGN = re.compile("[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff]")  # of words without spaces


def copied_share(query: str, passage: str, run: int) -> float:
    """The share of a query's words that stand in runs of at least `run` words that the passage has as well.

    Where words have no spaces, a word is a sign, and a run is twice as long.
    """
    asked = words(query)
    signs = sum(bool(_SIGN.match(word)) for word in asked)
    size = 2 * run if 2 * signs > len(asked) else run
    there = words(passage)
    grams = {there[i : i + size] for i in range(len(there) - size + 1)}
    copied: set[int] = set()
    for i in range(len(asked) - size + 1):
        if asked[i : i + size] in grams:
            copied.update(range(i, i + size))
    return len(copied) / len(asked) if asked else 0.0


# --- answers without the passage --------------------------------------------------------------------------------------

_SMALL = frozenset(
    "a an the of in on at to for by is are was were it its and or der die das le la les el un une".split()
)
_UNDECIDED = frozenset(
    """yes no true false correct incorrect both neither supported refuted unknown none maybe sometimes always never ja
    nein oui non sí sim não да нет 是 否 はい いいえ 네 아니요""".split()
)
"""Answers that a guess hits too often to show that somebody knows. Assumption."""


def read_recalled(row: Json, completion: Completion, overlap: float) -> Outcome:
    """A question whose answer the generator gave without its passage is rejected; any other one is kept."""
    parsed = parse(completion.texts[0], prompts.Recalled, completion.finish_reasons[0])
    if isinstance(parsed, Rejected):  # no answer, so none that says the same
        return Accepted(row, note=f"no answer without the passage: {parsed.reason}")
    said = parsed.answer.answer
    if says_the_same(row["answer"], said, overlap):
        return Rejected("answerable_without", f"answers {said!r:.100}, wanted {row['answer']!r:.100}")
    return Accepted(row, note=f"without the passage: {said!r:.100}")


def says_the_same(expected: str, said: str, overlap: float) -> bool:
    """Whether two short answers say the same: the words of the expected one stand in the other, or most are in both.

    A mere yes or no, a single digit, and "unknown" decide nothing. Most are in both: the F1 of the words, without
    articles and the like, is at least `overlap`, every number is in both, and no word stands for another one ("turn
    left", "turn right"): all words of one answer are in the other.
    """
    wanted, given = _content(expected), _content(said)
    if not wanted or not given or _UNDECIDED.issuperset(wanted) or _is_small_number(wanted):
        return False
    if not {word for word in wanted if any(map(str.isdigit, word))}.issubset(given):
        return False
    if len(given) <= LONGEST_RECALLED and _stands_in(wanted, given):
        return True
    common = (Counter(wanted) & Counter(given)).total()
    whole = common == min(len(wanted), len(given))
    return whole and 2 * common / (len(wanted) + len(given)) >= overlap


def _content(text: str) -> tuple[str, ...]:
    return tuple(word for word in words(text) if word not in _SMALL)


def _is_small_number(said: tuple[str, ...]) -> bool:
    return len(said) == 1 and said[0].isdigit() and len(said[0]) == 1


def _stands_in(part: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    return any(whole[i : i + len(part)] == part for i in range(len(whole) - len(part) + 1))


# --- the judge --------------------------------------------------------------------------------------------------------


def read_fitness(row: Json, completion: Completion) -> Outcome:
    """A question that the judge finds fit, or why not."""
    parsed = parse(completion.texts[0], prompts.Fitness, completion.finish_reasons[0])
    if isinstance(parsed, Rejected):
        return parsed
    if not parsed.answer.fits:
        return Rejected("unfit_question", parsed.answer.reason)
    return Accepted(row, parsed.repaired, note=parsed.answer.reason)
