r"""Backslashes that a model wrote once where JSON wants them twice.

A JSON parser reads `"\frac"` as a form feed and "rac", `"C:\temp"` as a tab and "emp", and refuses `"\alpha"`.
"""

import re

_CERTAIN = frozenset(
    """nabla neq nolimits nonumber notin newline newcommand noindent ngeq nleq natural rho right rangle rfloor rceil
    rightarrow rightharpoonup rbrace rbrack raise rm text textbf textit textrm textsf texttt textsc theta
    times tilde tanh therefore triangle triangleq""".split()
)
"""LaTeX commands of which no word is left behind the line break, tab or return that JSON reads. Assumption."""
_POSSIBLE = frozenset("ne neg newpage ni nmid not nu tan tau tfrac to top ref re".split())
"""LaTeX commands that are meant in a formula, or where others of the same answer are damaged; line breaks elsewhere."""

_FORMULA = frozenset("$^{")

_FOLDER = r"(?!n[A-Za-z]:|u[0-9a-fA-F]{4})[A-Za-z][\w.()~-]*"
_ESCAPE = re.compile(
    rf"""\\ (?: (?: (?<=[\W_][A-Za-z]:\\) | (?<=\\n[A-Za-z]:\\) ) (?P<path> {_FOLDER} (?: \\{_FOLDER} )* )
             | ["'\\/] | [ux][0-9a-fA-F]                                        # as JSON wants it, or as Python does
             | (?P<name> n (?=[A-Za-z]:\\) | [A-Za-z]+ )
             | (?P<sign> [^\sA-Za-z] ) )""",
    re.VERBOSE,
)
"""An escape, or all those of a Windows path behind its drive."""
_NO_LINE = re.compile(r"(?:^|\\)(?:[^nt]|(?:temp|tmp|tests?|tools|templates|texts?|thesis|training)(?:\\|$))")
"""What only a path has, and not lines or columns after "A:": a folder whose first letter is not n or t, or a
usual name."""


def restored(text: str) -> str:
    r"""`text` with such backslashes doubled; the same object when there is no proof of any.

    Proof is a backspace or form feed before a letter (`\beta`), an escape that JSON does not know (`\alpha`, `\(`), a
    LaTeX command that cannot be a line break and a word (`\theta`), or a Windows path.
    """
    if "\\" not in text or not any(map(_is_damaged, _ESCAPE.finditer(text))):
        return text
    return _ESCAPE.sub(_double, text)


def _is_damaged(escape: re.Match[str]) -> bool:
    """Whether an escape, or a Windows path, proves that backslashes were meant."""
    if path := escape["path"]:
        return bool(_NO_LINE.search(path))
    if not (name := escape["name"]):
        return bool(escape["sign"])
    if name[0] in "bf":
        return len(name) > 1
    if name[0] not in "nrt":
        return True
    around = escape.string[escape.start() - 1] + escape.string[escape.end() : escape.end() + 1]
    return name in _CERTAIN or (name in _POSSIBLE and not _FORMULA.isdisjoint(around))


def _double(escape: re.Match[str]) -> str:
    """The escape as it was meant, in a text in which another one is damaged."""
    name = escape["name"] or ""
    if _is_damaged(escape) or name in _POSSIBLE or name in ("b", "f"):
        return escape[0].replace("\\", "\\\\")
    return escape[0]
