"""Whether a model only repeats what it was shown: a key, the task, or a phrase of its prompt.

A phrase is what stands between two punctuation marks or quotes of one line, or several such pieces in a row. Only whole
values count: a query may use the words of its task, and a label may be one of those that the task lists. A few words of
the prompt, its task apart, are a copy if one of them names what is asked for ("search query").
"""

import re
from collections.abc import Mapping, Set
from functools import lru_cache

from hub_speed.task_types.base import Flaw
from hub_speed.text import words

LONGEST = 400  # characters of a value that is looked at. Assumption: the lines of our templates have 140 at most
PLACEHOLDERS = frozenset({"…", "..."})
_MARKS = re.compile(r"""[.,:;?!]+(?=["'\s]|$)|["“”()\[\]{}|]""")
_FEW = 4  # words that are looked at one by one. Assumption: a longer value of the prompt's words alone is a phrase
_SHAPE = frozenset(("json", "object", "string", "strings"))
_FORM = _SHAPE | {"long-tail"}  # what is asked for, beside the keys
# What a text is for, whichever prompt asks ("a hard negative document"). A label may be "positive text".
_ROLE = re.compile(
    r"(?:(?:this|here|is|an?|the|your|my|example|sample|of) )*+(?:hard |easy )?(?:positive|negative)"
    r" (?:query|queries|documents?|passages?|texts?)(?: \d+| here)?|(?:an? |the )?hard negatives?"
)
_LONGEST_ROLE = 8  # words
_LONGEST_RUN = 6  # pieces in a row; the longest line of a template has fewer


def echo(values: Mapping[str, str], prompt: str, subject: str = "") -> Flaw | None:
    """The first value that repeats one of the keys, the subject, or a phrase of the prompt.

    Args:
        values: the answer.
        prompt: what the model was shown.
        subject: the task or topic in the prompt. Only the whole of it counts, as a label may well be a part of it.
    """
    short = {name: value for name, value in values.items() if len(value) <= LONGEST}
    if not short:
        return None
    for name, value in short.items():
        if value.count(" ") < _LONGEST_ROLE and "label" not in name and _ROLE.fullmatch(plain(value)):
            return Flaw("echo", f"{name}: {value!r:.100}")
    all_shown = " ".join((prompt, subject, *values, *_FORM)).lower().replace("_", " ")
    if not any(_may_stand_in(all_shown, value) for value in short.values()):
        return None
    lines = (prompt.replace(subject, "") if subject else prompt).splitlines()
    shown = [PLACEHOLDERS, {*map(_often, values), _often(subject)}, *map(_phrases, lines)]
    keys = (*values,)
    for name, value in short.items():
        if _repeats(shown, value) or (value.count(" ") < _FEW and _is_put_together(value, name, keys, lines)):
            return Flaw("echo", f"{name}: {value!r:.100}")
    return None


def _may_stand_in(all_shown: str, value: str) -> bool:
    """Whether all words of a value are in what was shown. A quick look, since hardly an answer is an echo."""
    said = words(value.replace("_", " "))
    return all(word in all_shown or not word.isascii() for word in reversed(said))  # sentences begin with common words


def _repeats(shown: list[Set[str]], value: str) -> bool:
    """Whether every line of a value is one of the phrases. A plain loop as well."""
    repeats = True
    for line in value.splitlines():
        repeats = repeats and _among(shown, plain(line))
    return repeats


def _is_put_together(value: str, name: str, keys: tuple[str, ...], lines: list[str]) -> bool:
    """Whether a value consists of a few words of the prompt, one of which belongs to a key or names the form.

    The form counts only for a query: "string" may be a label, such as a family of instruments. A single word counts
    only if it names its own field: "label", but neither "Misleading" nor "Text" as a label. A word of JSON beside one
    of a key is no copy: "json query" is what programmers ask for.
    """
    said = {*words(value)}
    named = _parts(keys) if len(said) > 1 else _parts(keys).intersection(words(name.replace("_", " "))[-1:])
    form = named | _FORM if "query" in name else named
    if len(said) > _FEW or form.isdisjoint(said) or not (said.isdisjoint(_SHAPE) or said.isdisjoint(named)):
        return False
    return said - form <= {word for line in lines for word in words(line.replace("_", " "))}


def _among(shown: list[Set[str]], text: str) -> bool:
    """Whether a text is empty or one of the phrases. A plain loop: this is asked of every answer."""
    for phrases in shown:
        if text in phrases:
            return True
    return not text


def plain(text: str) -> str:
    """A text as it is compared: its words, those of a key apart; of a text without words, all that it has."""
    return " ".join(words(text.replace("_", " "))) or text.strip()


_often = lru_cache(4096)(plain)  # of keys and tasks


@lru_cache(64)
def _parts(keys: tuple[str, ...]) -> frozenset[str]:
    """The words of keys, but for those that have only one ("input"), which may be an answer."""
    found = [words(key.replace("_", " ")) for key in keys]
    return frozenset(word for parts in found if len(parts) > 1 for word in parts)


@lru_cache(4096)  # the same few lines of templates come again and again
def _phrases(line: str) -> frozenset[str]:
    """The phrases of one line of a prompt, each as it is compared."""
    pieces = [" ".join(found) for piece in _MARKS.split(line) if (found := words(piece.replace("_", " ")))]
    runs = (pieces[i : i + n] for i in range(len(pieces)) for n in range(1, _LONGEST_RUN + 1))
    return frozenset(" ".join(run) for run in runs)
