"""Words and scripts of texts, and the instruction that goes before a query.

The checks of the task types compare texts by their words: case and punctuation do not count.
"""

import re
import unicodedata
from collections import Counter
from functools import cache, lru_cache

# --- instructions -----------------------------------------------------------------------------------------------------


def with_instruction(instruction: str, query: str) -> str:
    """The text an embedder reads for a query (E5 §3.2; SPEED §3.3 the same). Documents stay as they are."""
    return f"Instruct: {instruction}\nQuery: {query}"


# --- words ------------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_RANGE = re.compile(r"(?:(less than|at least) )?(\d+)(?: to (\d+))? words?")

UNSPACED = ("Chinese", "Japanese", "Thai", "Lao", "Khmer", "Burmese")
"""Languages written without spaces: `words` cannot count their words."""

MIN_LENGTH_SHARE = 0.8
"""A text with this share of the requested length is long enough. Assumption: models count words only roughly."""


@lru_cache(64)  # the checks of one row ask for the words of the same few texts again and again
def words(text: str) -> tuple[str, ...]:
    """The words of `text` in lower case, without punctuation. A run of an unspaced script counts as one word."""
    return tuple(_WORD.findall(text.lower()))


def same(a: str, b: str) -> bool:
    """Whether two texts have the same words. Texts without words are compared letter by letter."""
    return words(a) == words(b) if words(a) else a.strip() == b.strip()


def holds(text: str, part: str) -> bool:
    """Whether the words of `part` occur in `text`, one after the other."""
    return bool(words(part)) and f" {' '.join(words(part))} " in f" {' '.join(words(text))} "


def word_range(length: str) -> tuple[int, float]:
    """A length knob as numbers: "less than 5 words" → (1, 4); "5 to 15 words" → (5, 15); "at least 10 words" → (10, ∞).

    Raises:
        ValueError: `length` has none of these forms.
    """
    match = _RANGE.fullmatch(length)
    if not match:
        raise ValueError(f"{length!r} is not 'less than N words', 'N to M words' or 'at least N words'")
    bound, first, last = match[1], int(match[2]), match[3]
    if bound == "less than":
        return 1, first - 1
    return first, float(last) if last else (float("inf") if bound else first)


def too_short(text: str, min_words: int, language: str = "English") -> bool:
    """Whether `text` has clearly fewer than `min_words` words; never true for a language written without spaces."""
    if language in UNSPACED:
        return False
    return len(words(text)) < MIN_LENGTH_SHARE * min_words


# --- scripts ----------------------------------------------------------------------------------------------------------

_LATIN = """Afrikaans Albanian Azerbaijani Basque Bosnian Breton Catalan Croatian Czech Danish Dutch English Esperanto
Estonian Filipino Finnish French Galician German Hausa Hungarian Icelandic Indonesian Irish Italian Javanese Kurdish
Latin Latvian Lithuanian Malagasy Malay Norwegian Oromo Polish Portuguese Romanian Slovak Slovenian Somali Spanish
Sundanese Swahili Swedish Turkish Uzbek Vietnamese Welsh Xhosa""".split()

SCRIPTS: dict[str, frozenset[str]] = {
    **{name: frozenset({"LATIN"}) for name in [*_LATIN, "Scottish Gaelic", "Western Frisian"]},
    **{
        name: frozenset({"CYRILLIC"})
        for name in "Belarusian Bulgarian Kazakh Kyrgyz Macedonian Mongolian Russian Ukrainian".split()
    },
    **{name: frozenset({"ARABIC"}) for name in "Arabic Pashto Persian Sindhi Urdu Uyghur".split()},
    **{name: frozenset({"DEVANAGARI"}) for name in "Hindi Marathi Nepali Sanskrit".split()},
    **{name: frozenset({"HEBREW"}) for name in "Hebrew Yiddish".split()},
    **{name: frozenset({"BENGALI"}) for name in "Assamese Bengali".split()},
    "Amharic": frozenset({"ETHIOPIC"}),
    "Armenian": frozenset({"ARMENIAN"}),
    "Burmese": frozenset({"MYANMAR"}),
    "Chinese": frozenset({"CJK"}),
    "Georgian": frozenset({"GEORGIAN"}),
    "Greek": frozenset({"GREEK"}),
    "Gujarati": frozenset({"GUJARATI"}),
    "Japanese": frozenset({"CJK", "HIRAGANA", "KATAKANA"}),
    "Kannada": frozenset({"KANNADA"}),
    "Khmer": frozenset({"KHMER"}),
    "Korean": frozenset({"HANGUL", "CJK"}),
    "Lao": frozenset({"LAO"}),
    "Malayalam": frozenset({"MALAYALAM"}),
    "Oriya": frozenset({"ORIYA"}),
    "Punjabi": frozenset({"GURMUKHI"}),
    "Serbian": frozenset({"CYRILLIC", "LATIN"}),
    "Sinhala": frozenset({"SINHALA"}),
    "Tamil": frozenset({"TAMIL"}),
    "Telugu": frozenset({"TELUGU"}),
    "Thai": frozenset({"THAI"}),
}
"""Language → its scripts, as Unicode names them, for the 93 languages of E5's synthetic data.

They are XLM-R's languages without the romanised variants, and with both Chinese scripts as one (E5 §3.1 counts 93).
"""


def wrong_script(language: str, *texts: str) -> bool:
    """Whether one of the texts is mostly in a script that the language does not use."""
    return not all(in_script_of(text, language) for text in texts)


def in_script_of(text: str, language: str) -> bool:
    """Whether at least half of the letters of `text` belong to a script of `language`; true without letters.

    Half of them, because names and loan words keep their own script (Assumption).

    Raises:
        KeyError: the language is not one of the 93.
    """
    scripts = SCRIPTS[language]
    if "LATIN" in scripts and text.isascii():  # by far the most frequent case
        return True
    letters = {char: count for char, count in Counter(text).items() if char.isalpha()}
    at_home = sum(count for char, count in letters.items() if _script(char) in scripts)
    return at_home * 2 >= sum(letters.values())


@cache  # there are some 150,000 letters, and texts use only a few of them often
def _script(letter: str) -> str:
    """The script of a letter: the first word of its name in Unicode."""
    return unicodedata.name(letter, "").replace("-", " ").split(" ")[0]
