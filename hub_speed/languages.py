"""The 93 languages of E5's synthetic data and the scripts they are written in.

The list is XLM-R's, without its romanised variants and with both Chinese scripts as one (E5 §3.1 counts 93).
"""

import unicodedata
from collections import Counter
from functools import cache

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
