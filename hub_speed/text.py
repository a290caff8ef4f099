"""Words and scripts of texts, and the instruction that goes before a query.

The checks of the task types compare texts by their words: case and punctuation do not count.
"""

import re
import unicodedata
from collections import Counter
from functools import cache, lru_cache
from typing import Literal

import regex

# --- instructions -----------------------------------------------------------------------------------------------------


def with_instruction(instruction: str, query: str) -> str:
    """The text an embedder reads for a query (E5 §3.2; SPEED §3.3 the same). Documents stay as they are."""
    return f"Instruct: {instruction}\nQuery: {query}"


Instructions = Literal["natural", "task_type_prefix", "none"]
"""The forms of what goes before a query that E5 compares (Table 5)."""

_PREFIXES = {"classification": "classify: ", "sts": "", "bitext": ""}
"""E5 Table 5: a long text with a short one, and two sides that are alike; all other task types have `query: `."""


def before_query(form: Instructions, instruction: str, task_type: str) -> str:
    """What an embedder reads before a query of this task type; of a labelled set, any name counts as retrieval."""
    if form == "natural":
        return with_instruction(instruction, "")
    return _PREFIXES.get(task_type, "query: ") if form == "task_type_prefix" else ""


# --- words ------------------------------------------------------------------------------------------------------------

_PLAIN_WORD = re.compile(r"\w+(?:['’·-]\w+)*")
# Soft hyphens, combining accents, and all from Hebrew on but Latin and Greek with accents, punctuation and symbols.
_BEYOND_PLAIN = re.compile("[\xad\u0300-\u036f\u0483-\u0489\u0590-\u1dff\u200c\u200d\u20d0-\u20ff\u2c00-\U0010ffff]")
# In `regex`, unlike in `re`, \w holds vowel signs and other marks, and the joiners that stand inside words.
_LETTERS = r"[\w\p{N}\xad]+"
_WORD = regex.compile(rf"""{_LETTERS}(?:(?:['’·״׳-]|(?<=[א-ת])"(?=[א-ת])){_LETTERS})*""")
# Scripts without spaces, as ranges: Han, kana with their marks; Thai, Lao, Burmese, Khmer with their marks.
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_KANA = "\u3041-\u3096\u309d-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d"
_THAI_TO_KHMER = "\u0e01-\u0eff\u1000-\u109f\u1780-\u17d3\ua9e0-\ua9fe\uaa60-\uaa7f"
_SIGNS = _HAN + _KANA + _THAI_TO_KHMER
_SIGN = re.compile(f"[{_SIGNS}]")
_PART = regex.compile(rf"[{_SIGNS}]\p{{M}}*+|[^\s{_SIGNS}]+")
# The same for texts of these scripts, punctuation, full width and plain letters alone, in `re`, which is faster.
_OF_ASIA = re.findall(f"[{_THAI_TO_KHMER}\u17dd]", "".join(map(chr, range(0xAA80))))
_MARKS = "".join(char for char in _OF_ASIA if unicodedata.category(char)[0] == "M")
_BESIDE_SIGNS = "\u17d4-\u17dd\u200b\u2010-\u2027\u2030-\u205e\u3001-\u303f\u309b\u309c\u30fb\uff01-\uff65"
_BEYOND_SIGNS = re.compile(f"(?![{_SIGNS}{_BESIDE_SIGNS}]){_BEYOND_PLAIN.pattern}")
_SIGN_WORD = re.compile(rf"[\w{_MARKS}]+(?:['’·-][\w{_MARKS}]+)*")
_SIGN_PART = re.compile(rf"[{_SIGNS}][{_MARKS}]*+|[^\s{_SIGNS}]+")
# Hebrew points and accents; the stretched line, vowels, doublings and silences of Arabic. Most writers leave them out.
_OPTIONAL = re.compile("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0652\u0670]+")
_RANGE = re.compile(r"(?:(less than|at least) )?(\d+)(?: to (\d+))? words?")

UNSPACED = ("Chinese", "Japanese", "Thai", "Lao", "Khmer", "Burmese")
"""Languages written without spaces: `words` counts their signs."""
SIGNS_PER_WORD = {f"[{_HAN}]": (1.5, 2.0), f"[{_KANA}]": (2.0, 2.5), f"[{_THAI_TO_KHMER}]": (3.0, 5.0)}
"""Scripts → the fewest and the most signs that a word of a usual text has; marks belong to their sign. Assumption:
Chinese words have 1.5 to 2 characters, Thai ones 4 to 5 letters, of which some are marks."""

MIN_LENGTH_SHARE = 0.8
"""A text with this share of the requested length is long enough. Assumption: models count words only roughly."""
MAX_LENGTH_SHARE = 2
"""A text of more than this many times the longest length asked for is not of the kind asked for. Assumption."""


@lru_cache(64)  # the checks of one row ask for the words of the same few texts again and again
def words(text: str) -> tuple[str, ...]:
    """The words of `text` in lower case, in Unicode's composed form (NFC), without punctuation.

    Vowel signs, accents and joiners belong to the word around them; the optional ones of Arabic and Hebrew are left
    out. Of a script without spaces, every sign with its marks is a word of its own.
    """
    lower = text.lower()
    if text.isascii() or not _BEYOND_PLAIN.search(lower := unicodedata.normalize("NFC", lower)):
        return tuple(_PLAIN_WORD.findall(lower))  # by far the most frequent case
    if not _BEYOND_SIGNS.search(lower):
        return tuple(_SIGN_PART.findall(" ".join(_SIGN_WORD.findall(lower))))
    lower = _OPTIONAL.sub("", lower)
    found: list[str] = _WORD.findall(lower)
    return tuple(_PART.findall(" ".join(found)) if _SIGN.search(lower) else found)


# Signs that mean something: not quotes and accents in their place, no frames, and no marks of trade. A dash is a minus
# before a number, and in a grade or charge ("A-"), which has up to three letters (Assumption).
_DASH = "[-\u2010-\u2013\u2212\uff0d]"  # up to the en dash: a longer one is punctuation
_SYMBOL = regex.compile(
    rf"""(?V1m)([[\p{{S}}%٪％]--[\p{{Sk}}|｜~～−™®©]]|[#＃](?=\w)|(?<=\w)[#＃]
    |(?<=^|[\s(\["'“‘„«=<>/:]){_DASH}(?=\p{{Sc}}?[.,]?\d)|(?<=\b\p{{L}}{{1,3}})[-−－](?![\w-]))""",
    regex.VERBOSE,
)
# Curly apostrophes, hyphens that do not break, full width; Armenian marks and joiners inside a word are left out.
_PLAIN_SIGNS = dict.fromkeys(map(ord, "՛՜՞\u200d")) | {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
_PLAIN_SIGNS |= {ord("’"): "'", 0x2010: "-", 0x2011: "-"}
# Letters that writers of one language use for each other: Arabic with and without dots, also from a Persian keyboard (a
# hamza is a part of its letter); Greek has no accents in capitals.
_PLAIN_SIGNS |= str.maketrans("ىیةکάέήίόύώϊϋΐΰς", "ييهكαεηιουωιυιυσ")
# Vietnamese tone marks, on the last vowel of an open syllable (hoà) or on the one before it (hòa).
_TONES = {
    unicodedata.normalize("NFC", pair + mark): unicodedata.normalize("NFC", pair[0] + mark + pair[1])
    for pair in ("oa", "oe", "uy")
    for mark in "\u0300\u0301\u0303\u0309\u0323"
}
_TONE = re.compile("[oOuU][àáảãạèéẻẽẹỳýỷỹỵÀÁẢÃẠÈÉẺẼẸỲÝỶỸỴ]")
_TO_FOLD = re.compile(  # full width: letters are enough; ligatures of Latin and Armenian; accents that stand alone
    "[՛՜՞\u200d’\u2010\u2011０-９Ａ-Ｚａ-ｚ\u0307ßẞſİև\ufb00-\ufb06\ufb13-\ufb17ىیةکΆΈ-ΐΣΪ-ΰςϊ-ώ"
    "\u0300\u0301\u0303\u0308\u0309\u0323]"
)
_START = 60  # letters that hold the first two words of nearly every text (Assumption)


def same(a: str, b: str) -> bool:
    """Whether two texts have the same words and symbols. Texts without words are compared letter by letter.

    Typography does not count: case, punctuation, the form of an apostrophe, ß for ss, full width. Nor do spellings that
    writers use for each other: the forms of yeh and teh marbuta in Arabic, Greek accents, the place of Vietnamese
    tone marks.
    """
    in_a, in_b = words(a), words(b)
    if not in_a or not in_b:
        return a.strip() == b.strip()
    if in_a != in_b:  # nearly always
        if (a.isascii() and b.isascii()) or _first_words(a) != _first_words(b):
            return False
        a, b = _folded(a), _folded(b)
    return words(a) == words(b) and _around_symbols(a) == _around_symbols(b)


def _first_words(text: str) -> tuple[str, ...]:
    """A quick look: texts that differ here are not the same."""
    return words(_folded(text[:_START]))[:2]


@lru_cache(64)  # as `words`
def _folded(text: str) -> str:
    """`text` with plain signs and letters (ß as ss), for comparing only. Of a Turkish İ, the dot is left out."""
    if text.isascii() or not (_TO_FOLD.search(text) or _TONE.search(text)):
        return text  # `words` makes its letters small
    plain = unicodedata.normalize("NFC", text.casefold()).translate(_PLAIN_SIGNS).replace("i\u0307", "i")
    return _TONE.sub(lambda found: _TONES.get(found[0], found[0]), plain)


def _around_symbols(text: str) -> list[str | tuple[str, ...]]:
    """The words before the first symbol, that symbol, the words up to the next, and so on."""
    parts = _SYMBOL.split(unicodedata.normalize("NFC", text))
    symbols = [regex.sub(_DASH, "-", unicodedata.normalize("NFKC", symbol)) for symbol in parts[1::2]]
    return [*map(words, parts[::2]), *symbols]


_PREFIXES_OF = (  # scripts, what may be written before a word of three letters, and before a longer one
    ("[א-ת]", "ו?ה", "ו?כ?ש?[בכלמ]?ה?"),
    ("[\u0621-\u064a]", "[وف]?(?:[بك]?ال|لل)", "[وف]?(?:[بك]?ال|لل|[بكل])?"),
    ("[\u1200-\u135a]", "[የበለከ]|ስለ|እንደ", "[የበለከ]|ስለ|እንደ"),
)
"""And, the, in, to, from and the like in Hebrew, Arabic and Amharic. Only the article before a short word, since other
letters often begin one of another meaning (מקרה is no קרה). Assumption: the numbers."""


@lru_cache(64)
def _before(said: str) -> str:
    """A pattern of what may be joined to the words `said` from the left: see `holds`."""
    for letters, short, long in _PREFIXES_OF:
        if re.match(letters, said) and len(said) >= 3:
            return f"(?:[{_beside(said)}]| (?:{short if len(said) == 3 else long}))"
    return f"(?:[{_beside(said)}]| non-)"


def _beside(said: str) -> str:
    """The signs that may stand on either side of the words `said`: see `holds`."""
    return " " + "'’" * (len(said) >= 4) + "-" * (len(said) >= 6)


def holds(text: str, part: str) -> bool:
    """Whether the words of `part` occur in `text`, one after the other.

    Korean letters may follow the last one, and Hebrew, Arabic and Amharic ones stand before the first: particles are
    written without a space. From four letters on, an apostrophe may join `part` to others ("Toyota's", "l'Italie", but
    not "can" in "can't"); from six on, a hyphen as well ("Berlin-based"), since short words often make one of another
    meaning ("well-being"). Both numbers are Assumptions. Behind "non-" a word keeps its meaning.
    """
    said, within = " ".join(words(part)), f" {' '.join(words(text))} "
    if not said or said not in within:
        return False
    return f" {said} " in within or bool(re.search(f"{_before(said)}{re.escape(said)}[가-힣{_beside(said)}]", within))


def copies(text: str, part: str) -> bool:
    """Whether `text` holds the whole of a `part` of more than three words, or ten signs; less may be a name.

    Both numbers are Assumptions.
    """
    return len(words(part)) > (10 if not part.isascii() and _SIGN.search(part) else 3) and holds(text, part)


_EVERYDAY = frozenset(
    _folded(
        """yes no not none true false other others all any some many more most less least one two three first last new
        old good never always now then here there out off oui non sí não sim nein nicht ja nee evet hayır nie tak да нет
        はい いいえ その他 没有 不是 是的 其他 아니요 아니오 기타 ใช่ ไม่ ไม่ใช่ नहीं हाँ نعم لا לא ניט όχι არა አዎ không
        niet tidak otro outro"""
    ).split()
)
"""Labels that stand in ordinary texts and tell nothing there. Assumption."""


# Marks, and letters that end a syllable or stand under another one, in Burmese and Khmer.
_NO_LETTER = regex.compile(r"\S\p{M}*\u103a|(?<=[\u1039\u17d2]) ?\S|[\p{M}\s]")
_OF_LETTERS = re.compile("[0-9א-ת\u0621-\u06d3\u0e01-\u0eff]")  # and all that has capitals


def _short(said: str) -> int:
    """The most letters, without their marks, of a label that is a part of sentences: one where each is a syllable."""
    return 2 if said != said.upper() or _OF_LETTERS.match(said) else 1


def gives_away(text: str, label: str) -> bool:
    """Whether `text` names `label`. Negated as well: "non-urgent" shows the word by which an embedder finds "urgent".

    An everyday word ("no"), a label of two letters or one sign is just a part of sentences, and counts only where it is
    a line of its own, or ends one after a colon ("Answer: no").
    """
    text, label = _folded(text), _folded(label)
    if not holds(text, label):
        return False
    said = " ".join(words(label))
    if not {said, label.strip().lower()} & _EVERYDAY and len(_NO_LETTER.sub("", said)) > _short(said):
        return True
    return any(same(part, label) for line in text.splitlines() for part in (line, re.split("[:：=]", line)[-1]))


@lru_cache(64)
def word_range(length: str) -> tuple[int, float]:
    """A length knob as numbers: "less than 5 words" → (1, 4); "5 to 15 words" → (5, 15); "at least 10 words" → (10, ∞).

    Raises:
        ValueError: `length` has none of these forms.
    """
    match = _RANGE.fullmatch(length)
    if not match or (match[3] and int(match[3]) < int(match[2])):
        raise ValueError(f"{length!r} is not 'less than N words', 'N to M words' or 'at least N words'")
    bound, first, last = match[1], int(match[2]), match[3]
    if bound == "less than":
        return 1, first - 1
    return first, float(last) if last else (float("inf") if bound else first)


@lru_cache(64)
def word_count(text: str) -> tuple[float, float]:
    """The fewest and the most words that `text` may have: the same, but for scripts without spaces."""
    said = words(text)
    if text.isascii() or not _SIGN.search(text):
        return len(said), len(said)
    firsts = "".join(word[0] for word in said)
    fewest = most = float(len(said))
    for script, (short, long) in SIGNS_PER_WORD.items():
        signs = len(re.findall(script, firsts))
        fewest, most = fewest - signs + signs / long, most - signs + signs / short
    return fewest, most


def too_short(text: str, min_words: int) -> bool:
    """Whether `text` has clearly fewer than `min_words` words."""
    return word_count(text)[1] < MIN_LENGTH_SHARE * min_words


def too_long(text: str, max_words: float) -> bool:
    """Whether `text` has clearly more than `max_words` words."""
    return word_count(text)[0] > MAX_LENGTH_SHARE * max_words


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
_ALSO = {
    "Azerbaijani": "ARABIC CYRILLIC",
    "Bosnian": "CYRILLIC",
    "Hausa": "ARABIC",
    "Javanese": "JAVANESE",
    "Kazakh": "ARABIC",
    "Kurdish": "ARABIC CYRILLIC",
    "Kyrgyz": "ARABIC",
    "Malay": "ARABIC",
    "Mongolian": "MONGOLIAN",
    "Punjabi": "ARABIC",
    "Sindhi": "DEVANAGARI",
    "Sundanese": "SUNDANESE",
    "Uyghur": "CYRILLIC",
    "Uzbek": "ARABIC CYRILLIC",
}
"""Second scripts that are in use today, among them Jawi, Ajami, Shahmukhi and that of Sorani. Source: Unicode CLDR
(languageData) up to Mongolian; Assumption: the others. Latin letters of Kazakh, Kyrgyz and Uyghur are left out: any
English answer would pass."""
SCRIPTS |= {name: SCRIPTS[name].union(scripts.split()) for name, scripts in _ALSO.items()}


HAN_SIGNS = 12
"""Han signs that a Japanese or Korean text may have without kana or Hangul. Assumption: such a text is a name or some
terms ("少額訴訟手続費用相場"), of which a query has up to six with two signs each."""
_HAN_ALONE = frozenset({"CJK"})


def wrong_script(language: str, *texts: str) -> bool:
    """Whether one of the texts is mostly in a script that the language does not use."""
    return not all(in_script_of(text, language) for text in texts)


def in_script_of(text: str, language: str) -> bool:
    """Whether at least half of the words of `text` are in a script of `language`; true without letters.

    Words are those of `words`: of a script without spaces, its signs. One that has a letter of such a script counts for
    the language. Half of them, because names and loan words keep their own script. Beside such a word, two more in
    Latin letters are allowed, as names have up to three words: "Python में machine learning" (both Assumptions).
    A Korean or Japanese text of Han signs alone is Chinese, unless it is short.

    Raises:
        KeyError: the language is not one of the 93.
    """
    scripts = SCRIPTS[language]
    if "LATIN" in scripts and text.isascii():  # by far the most frequent case
        return True
    spoken = Counter(map(_scripts, words(text)))
    del spoken[frozenset()]
    count = spoken.total()
    at_home = sum(n for found, n in spoken.items() if not scripts.isdisjoint(found))
    loans = 0 if "LATIN" in scripts else spoken[frozenset({"LATIN"})]
    if scripts > _HAN_ALONE and spoken[_HAN_ALONE] == at_home > HAN_SIGNS:
        return False
    return not count or 0 < at_home >= count - at_home - min(loans, 2)


@lru_cache(1 << 14)  # signs of scripts without spaces come again and again
def _scripts(word: str) -> frozenset[str]:
    """The scripts of the letters of a word."""
    return frozenset(_script(char) for char in unicodedata.normalize("NFKC", word) if char.isalpha())


@cache  # there are some 150,000 letters, and texts use only a few of them often
def _script(letter: str) -> str:
    """The script of a letter: the first word of its name in Unicode. The sign 々 repeats one of Chinese."""
    return unicodedata.name(letter, "").replace("-", " ").replace("IDEOGRAPHIC", "CJK").split(" ")[0]
