"""How an instruction is put before a query (E5 §3.2; SPEED §3.3 the same). Documents stay as they are."""

import re
import unicodedata
from collections import Counter
from functools import cache, lru_cache


def with_instruction(instruction: str, query: str) -> str:
    """The text an embedder reads for a query."""
    return f"Instruct: {instruction}\nQuery: {query}"


_WORD = re.compile(r"\w+(?:['’-]\w+)*")


_RANGE = re.compile(r"(?:(less than|at least) )?(\d+)(?: to (\d+))? words?")


@lru_cache(64)  # the checks of one row ask for the words of the same few texts again and again
def words(text: str) -> tuple[str, ...]:
    """The words of `text`, lower-cased, punctuation dropped. One CJK, Thai, Lao, Khmer or Burmese run counts as one."""
    return tuple(_WORD.findall(text.lower()))


def word_range(length: str) -> tuple[int, float]:
    """A length knob as numbers: "less than 5 words" → (1, 4); "5 to 15 words" → (5, 15); "at least 10 words" → (10, ∞).

    Raises:
        ValueError: it is not written in one of those forms.
    """
    match = _RANGE.fullmatch(length)
    if not match:
        raise ValueError(f"{length!r} is not 'less than N words', 'N to M words' or 'at least N words'")
    bound, first, last = match[1], int(match[2]), match[3]
    if bound == "less than":
        return 1, first - 1
    return first, float(last) if last else (float("inf") if bound else first)


MIN_LENGTH_SHARE = 0.8
"""A text this share of the asked length is still accepted. Assumption: a model's own count of words is rough."""


UNSPACED = ("Chinese", "Japanese", "Thai", "Lao", "Khmer", "Burmese")
"""Languages written without spaces: `words` cannot count theirs."""


def too_short(text: str, min_words: int, language: str = "English") -> bool:
    """Whether `text` clearly misses the least length asked for. Texts written without spaces are never called short."""
    if language in UNSPACED:
        return False
    return len(words(text)) < MIN_LENGTH_SHARE * min_words


def same(a: str, b: str) -> bool:
    """Whether two texts are the same but for case and punctuation."""
    return words(a) == words(b) if words(a) else a.strip() == b.strip()


def holds(text: str, part: str) -> bool:
    """Whether `part` occurs in `text` as whole words, but for case and punctuation."""
    return bool(words(part)) and f" {' '.join(words(part))} " in f" {' '.join(words(text))} "


def wrong_script(language: str, *texts: str) -> bool:
    """Whether one of the texts is mostly written in a script the language does not use."""
    return not all(in_script_of(text, language) for text in texts)


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


def in_script_of(text: str, language: str) -> bool:
    """Whether at least half of the letters of `text` belong to a script `language` is written in.

    Half, not all: names and loan words keep their own script (Assumption). Text without letters passes.

    Raises:
        KeyError: the language is not one of the 93.
    """
    scripts = SCRIPTS[language]
    if "LATIN" in scripts and text.isascii():  # by far the most frequent case
        return True
    letters = {char: count for char, count in Counter(text).items() if char.isalpha()}
    at_home = sum(count for char, count in letters.items() if _script(char) in scripts)
    return at_home * 2 >= sum(letters.values())


@cache  # there are some 150,000 letters, and a text uses few of them often
def _script(letter: str) -> str:
    """The script of a letter: the first word of its name in Unicode."""
    return unicodedata.name(letter, "").replace("-", " ").split(" ")[0]
