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

HUB_NAMES = frozenset(
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m "
    "afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 "
    "cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 "
    "cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl "
    "gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr "
    "mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr "
    "deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 "
    "grok2-community gemma unknown other".split()
)
"""The licences that a card may name; any other one is `license: other` with a `license_name`."""

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
