"""Licences of what a version comes from. A reading aid, no legal advice.

A licence is a set of duties; a work may add to the duties of its sources and may not drop one. The names are those of
the Hub (`license:` in a card).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NOTICE = frozenset({"keep the notices"})
_NON_COMMERCIAL = frozenset({"no commercial use"})
_SHARE_ALIKE = frozenset({"the same licence again"})
_LLAMA = frozenset({"Meta's Llama terms"})
_GEMMA = frozenset({"Google's Gemma terms"})

DUTIES: dict[str, frozenset[str]] = {
    "cc0-1.0": frozenset(),
    "unlicense": frozenset(),
    "apache-2.0": _NOTICE,
    "mit": _NOTICE,
    "bsd-2-clause": _NOTICE,
    "bsd-3-clause": _NOTICE,
    "cc-by-3.0": _NOTICE,
    "cc-by-4.0": _NOTICE,
    "odc-by": _NOTICE,
    "cc-by-sa-3.0": _NOTICE | _SHARE_ALIKE,
    "cc-by-sa-4.0": _NOTICE | _SHARE_ALIKE,
    "cc-by-nc-2.0": _NOTICE | _NON_COMMERCIAL,
    "cc-by-nc-3.0": _NOTICE | _NON_COMMERCIAL,
    "cc-by-nc-4.0": _NOTICE | _NON_COMMERCIAL,
    "cc-by-nc-sa-2.0": _NOTICE | _NON_COMMERCIAL | _SHARE_ALIKE,
    "cc-by-nc-sa-3.0": _NOTICE | _NON_COMMERCIAL | _SHARE_ALIKE,
    "cc-by-nc-sa-4.0": _NOTICE | _NON_COMMERCIAL | _SHARE_ALIKE,
    "cc-by-nc-nd-4.0": _NOTICE | _NON_COMMERCIAL | frozenset({"no changed copies"}),
    "llama2": _NOTICE | _LLAMA,
    "llama3": _NOTICE | _LLAMA,
    "llama3.1": _NOTICE | _LLAMA,
    "llama3.2": _NOTICE | _LLAMA,
    "llama3.3": _NOTICE | _LLAMA,
    "gemma": _NOTICE | _GEMMA,
}
"""What each licence asks of whoever passes a work on. Of any other name, "other" too, the terms are not known here."""

OPENAI = re.compile(r"(.*/)?(ft:)?(gpt-\d|chatgpt-|o\d)", re.IGNORECASE)
"""How the names of the models behind OpenAI's API begin, whoever passes them on; open weights are gpt-oss-…"""


@dataclass(frozen=True)
class Source:
    """One input: its name with its commit, and what its card or the recipe says (empty: nothing)."""

    name: str
    licence: str


def conflicts(own: str, sources: list[Source]) -> list[str]:
    """Why `own` is more permissive than a source, one sentence each. Unknown terms are not a conflict: see `notes`."""
    if own not in DUTIES:
        return []
    return [
        f"{source.name} is {source.licence}, which asks for {' and '.join(sorted(missing))}; {own} does not"
        for source in sources
        if (missing := DUTIES.get(source.licence, frozenset()) - DUTIES[own])
    ]


def notes(sources: list[Source], teachers: Iterable[str]) -> list[str]:
    """What a person has to read, because no name of a licence says it."""
    found = [f"{s.name} states no licence: ask its owner." for s in sources if not s.licence]
    found += [
        f"{s.name} is `{s.licence}`: its own terms apply, read them."
        for s in sources
        if s.licence and s.licence not in DUTIES
    ]
    found += [
        f"The teacher is {teacher}: OpenAI's terms of use restrict what models its answers may be used to develop."
        for teacher in teachers
        if OPENAI.match(teacher)
    ]
    return found
