r"""Backslashes that a model wrote once where JSON wants them twice, or twice where JSON wants them once.

A JSON parser reads `"\frac"` as a form feed and "rac", `"C:\temp"` as a tab and "emp", and refuses `"\alpha"`.
"""

import json
import re
from functools import lru_cache

_CERTAIN = frozenset(
    """nabla neq nolimits nonumber not notin newline newpage newcommand newtheorem noindent ngeq nleq natural ncong nsim
    nearrow nwarrow nrightarrow nleftarrow nsubseteq normalsize rho right rangle rfloor rceil rightarrow rightharpoonup
    rightharpoondown rightleftharpoons rbrace rbrack raise rm ref root rule relax rvert rVert renewcommand text textbf
    textit textrm textsf texttt textsc textcolor textstyle textwidth textsuperscript textsubscript theta times tilde
    tanh therefore triangle triangleq title tiny thinspace toprule""".split()
)
"""LaTeX commands of which no word is left behind the line break, tab or return that JSON reads. Assumption."""
_POSSIBLE = frozenset("ne neg ni nmid not nu tag tan tau tbinom tfrac to top re".split())
"""LaTeX commands that leave a word behind: meant where the signs around speak for it, or other commands of the same
answer are damaged; line breaks and tabs elsewhere."""

_BEGINS = re.compile(r'(?:(?<!\\)"|[$^{])$')
_GOES_ON = re.compile(r"[$^{]")
_IN_DOLLARS = re.compile(r'(?<!\\)\$[^$"]{1,80}$'), re.compile(r'[^$"]{0,80}\$(?!\d)')
_TAB_BEHIND, _TAB_BEFORE = re.compile(r"[ =+*/(|,<>-]$"), re.compile(r"[(_]")
_OPERAND = re.compile(r"(?:(?<![^\s\"(])[A-Za-z]|[\d)\]}|]) $"), re.compile(r" (?:[\d\\(|-]|[A-Za-z]\b)")

_FOLDER = r"(?!n[A-Za-z]:|u[0-9a-fA-F]{4})[A-Za-z][\w.()~-]*"
_ESCAPE = re.compile(
    rf"""\\ (?: (?: (?<=[\W_][A-Za-z]:\\) | (?<=\\n[A-Za-z]:\\) ) (?P<path> {_FOLDER} (?: \\{_FOLDER} )* )
             | ["'\\/] | [ux][0-9a-fA-F]                                        # as JSON wants it, or as Python does
             | (?P<name> n (?=[A-Za-z]:\\) | [A-Za-z]+ )
             | (?P<sign> [^\sA-Za-z] ) )""",
    re.VERBOSE,
)
"""An escape, or all those of a Windows path behind its drive."""
_NO_LINE = re.compile(
    r"(?:^|\\)(?!r(?:\\n|$))"
    r"(?:[^nt]|(?:temp|tmp|tests?|tools|templates|texts?|thesis|training|new|news|notes|notebooks|names?|network|nginx"
    r"|node_modules|numpy|nvidia)(?:\\|$))"
)
r"""What only a path has, and not lines or columns after "A:": a folder whose first letter is not n or t, or a usual
name. In `A:\r\n` a line ends."""


def restored(text: str) -> str:
    r"""`text` with such backslashes doubled; the same object when there is no proof of any.

    Proof is a backspace or form feed before a letter (`\beta`), an escape that JSON does not know (`\alpha`, `\(`), a
    LaTeX command that cannot be a line break and a word (`\theta`) or stands where none could (`$x \to y$`), or a
    Windows path.
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
    return name in _CERTAIN or (name in _POSSIBLE and _is_meant(escape))


def _is_meant(escape: re.Match[str]) -> bool:
    """Whether the signs around a possible command speak for it.

    It stands in a formula, begins a value, or stands between the operands of a relation. A tab is none behind a space
    or before a bracket, if the answer has no tabs but such.
    """
    text, start, end = escape.string, escape.start(), escape.end()
    before, after = text[max(0, start - 100) : start], text[end : end + 100]
    if _BEGINS.search(before) or _GOES_ON.match(after):
        return True
    if _IN_DOLLARS[0].search(before) and _IN_DOLLARS[1].match(after):
        return True
    if escape["name"][0] == "t":
        return bool(_TAB_BEHIND.search(before) or _TAB_BEFORE.match(after)) and _has_no_tab(text)
    return bool(_OPERAND[0].search(before) and _OPERAND[1].match(after))


@lru_cache(1)  # asked of each tab in a text
def _has_no_tab(text: str) -> bool:
    """Whether every tab that JSON reads in a text would complete a command."""
    names = (escape["name"] or "" for escape in _ESCAPE.finditer(text))
    return all(name in _CERTAIN or name in _POSSIBLE for name in names if name[:1] == "t")


def _double(escape: re.Match[str]) -> str:
    """The escape as it was meant, in a text in which another one is damaged."""
    name = escape["name"] or ""
    if _is_damaged(escape) or name in _POSSIBLE or name in ("b", "f"):
        return escape[0].replace("\\", "\\\\")
    return escape[0]


# --- escapes that were written twice ----------------------------------------------------------------------------------

_CODED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_IN_A_WORD = re.compile(r"(?<=[^\W\d_])\\u[0-9a-fA-F]{4}|(?:\\u[0-9a-fA-F]{4}){2}|\\u[0-9a-fA-F]{4}(?=[^\W\d_])")
_ON_ESCAPES = re.compile(
    r"escap|encod|unicode|utf|ascii|regex|regular expression|json|java|python|string|\b[a-z]:\\", re.IGNORECASE
)
_LINE_ENDS = re.compile(r"""(?<=[.!?:;,)"'”’。！？])(?:\\r)?\\n(?=[A-Z0-9•*#"“-]|[^\x00-\x7f])|\\n\\n(?![a-z])""")
_LINE_END = re.compile(r"(?:\\r)?\\n(?![a-z])|\\n(?=- )")
FEWEST_LINE_ENDS = 2
r"""Assumption: one `\n` may be spoken of; a text with two or more, and without a line break, means line breaks."""


def once(value: str) -> str:
    r"""`value` with the characters that its escapes stand for; the same object when there is no proof of any.

    Some models escape twice, so that JSON leaves `caf\u00e9` and `End.\nNext`. Proof is a letter written so inside a
    word, or several line breaks behind sentences. Texts on escapes and on programs are left as they are.
    """
    if "\\u" in value and _IN_A_WORD.search(value) and not _ON_ESCAPES.search(value):
        value = _CODED.sub(_decoded, value)
    if value.count("\\n") < FEWEST_LINE_ENDS or "\n" in value or _ON_ESCAPES.search(value):
        return value
    if len(_LINE_ENDS.findall(value)) >= FEWEST_LINE_ENDS:
        value = _LINE_END.sub("\n", value).replace('\\"', '"')
    return value


def _decoded(coded: re.Match[str]) -> str:
    """The characters that a run of escapes stands for; the run itself where one is none of a text beyond ASCII."""
    found: str = json.loads(f'"{coded[0]}"')
    return found if all(char >= "\xa0" and char.isprintable() for char in found) else coded[0]
