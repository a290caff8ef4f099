"""Bytes → text: UTF-8 and UTF-16 by their form, all older encodings by a look at what they say.

Nothing in a file names its encoding. chardet knows how often signs follow each other in the languages that an encoding
was made for, and in a page reads `charset=` first. scripts/bench_corpus.py measures it (docs/documents.md).
"""

import codecs
import re
from dataclasses import dataclass

ENCODINGS = (
    *(f"cp{number}" for number in (1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258, 874)),
    *(f"iso8859-{number}" for number in (1, 2, 5, 6, 7, 8, 9, 13, 15)),
    *("koi8-r", "koi8-u", "cp866", "cp850", "cp852", "cp437", "mac-roman"),
    *("gb18030", "big5hkscs", "cp932", "shift_jis_2004", "euc_jis_2004", "iso2022_jp_2", "cp949", "euc_kr"),
)
"""What is looked for: what programs for these languages have written. Rarer ones are left out, since the more there
are, the more often a short text is taken for another one."""

SURE = 0.17
"""chardet's confidence from which on an encoding is not doubtful: of 2,334 texts, the highest of one that was read
wrongly, by its words, is 0.16 (docs/documents.md)."""

CLOSE = 0.97
"""Where another encoding has so much of that confidence, and reads something else, both are doubtful. Assumption."""

LOOKED_AT = 200_000
"""Bytes in which the encoding is looked for: so many does chardet look at itself."""

_SAYS = rb"[\x80-\xff]|\x1b|(?i:charset|encoding)"
_LINES = re.compile(rb"[^\r\n]*(?:%b)[^\r\n]*[\r\n]*" % _SAYS)
_WORDS = re.compile(rb"\S*(?:%b)\S*\s*(?:\S+\s*)?" % _SAYS)
"""The lines that say something of the encoding, and the words that do, each with the next one. Short texts need their
lines; but an English text with a few words of Russian looks like English by its lines."""

_C1 = re.compile("[\x80-\x9f]")
"""Control characters that no text has: ISO 8859 has them where other encodings have signs."""

_LABELS = {"gb18030": "GB 18030", "big5hkscs": "Big5", "euc_jis_2004": "EUC-JP", "iso2022_jp_2": "ISO-2022-JP"}
_LABELS |= {"cp932": "Shift JIS", "shift_jis_2004": "Shift JIS", "cp949": "EUC-KR", "euc_kr": "EUC-KR"}
_LABELS |= {"mac-roman": "Mac Roman", "cp874": "Windows-874"}


@dataclass(frozen=True)
class Decoded:
    """The text that bytes hold.

    Attributes:
        encoding: what people call it.
        sure: False where another one is likely as well, so that the text may be wrong.
    """

    text: str
    encoding: str
    sure: bool = True

    @property
    def told(self) -> str:
        """What to say of it; empty for UTF-8 and UTF-16."""
        return "" if self.encoding.startswith("UTF-") else self.encoding + ("" if self.sure else ", which is doubtful")


def decode(raw: bytes, errors: str = "strict") -> Decoded:
    """The text that bytes hold, and its encoding.

    Args:
        raw: the bytes.
        errors: "replace": what is damaged becomes U+FFFD.

    Raises:
        UnicodeDecodeError: something is damaged.
    """
    if raw.startswith(codecs.BOM_UTF8):
        return Decoded(raw.decode("utf-8-sig"), "UTF-8")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Decoded(raw.decode("utf-16", errors), "UTF-16")
    if b"\0" in raw[:2]:  # one of the two bytes of an ASCII character
        return Decoded(raw.decode("utf-16-be" if raw[0] == 0 else "utf-16-le", errors), "UTF-16")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "replace")
        damaged = text.count("\ufffd")
        if sum(not c.isascii() for c in text) > 2 * damaged:  # what is well formed is so by chance in no other encoding
            return Decoded(raw.decode("utf-8", errors), "UTF-8")
        return _looked_for(raw, errors)
    is_marked = "\x1b$" in text and text.isascii()  # the mark that ISO-2022-JP sets before Japanese in ASCII
    found = _looked_for(raw, errors) if is_marked else None
    return found if found and not found.text.isascii() else Decoded(text, "UTF-8")


def _looked_for(raw: bytes, errors: str) -> Decoded:
    """The text in the encoding that the bytes look like; Windows-1252 where they look like none."""
    name, sure = _most_likely(raw, _WORDS)
    if not sure:
        other = name
        name, sure = _most_likely(raw, _LINES)
        sure = sure and _read(raw, name) == _read(raw, other)
    return Decoded(_read(raw, name, errors), label(name), sure)


def _most_likely(raw: bytes, parts: re.Pattern[bytes]) -> tuple[str, bool]:
    """The encoding that these parts of the bytes look like, and whether that is sure."""
    import chardet  # the Space imports the stages, and reads no documents

    looked_at, size = list[bytes](), 0
    for part in parts.finditer(raw):
        looked_at.append(part[0])
        size += len(part[0])
        if size > LOOKED_AT:
            break
    shown = b"".join(looked_at)
    found = chardet.detect_all(
        shown,
        max_bytes=LOOKED_AT,
        prefer_superset=False,
        compat_names=False,
        include_encodings=ENCODINGS,
        no_match_encoding="cp1252",
    )
    close = [_codec(one["encoding"]) for one in found if one["confidence"] >= CLOSE * found[0]["confidence"]]
    sure = bool(found[0]["encoding"]) and found[0]["confidence"] >= SURE
    return close[0], sure and len({_read(shown, codec) for codec in close}) == 1


def _codec(found: str | None) -> str:
    """The encoding to read what chardet has found; Windows-1252 for Latin-1, as browsers do, and for nothing."""
    return "cp1252" if found in (None, "ascii", "iso8859-1") else found


def _read(raw: bytes, codec: str, errors: str = "replace") -> str:
    """The text in an encoding."""
    text = raw.decode(codec, errors)
    if codec.startswith("iso8859") and (control := _C1.search(text)):
        if errors == "strict":
            raise UnicodeDecodeError(codec, raw, control.start(), control.end(), "a control character")
        return _C1.sub("\ufffd", text)
    return text


def label(codec: str) -> str:
    """What people call an encoding that Python calls so."""
    known = _LABELS.get(codec) or codec.upper().replace("ISO8859", "ISO-8859")
    return known.replace("CP125", "Windows-125").replace("CP", "Code page ")
