"""From the text a model wrote to a validated answer, or to the reason why there is none.

Strict JSON first, then json-repair, which is noted. A truncated answer is never repaired: its end is missing, and a
closing brace would hide that. A repair may mend what stands around the texts, not the texts: each must be in the answer
as it is, between quotes. Only lost backslashes are restored (`escapes`). Nothing is ever evaluated, and the work is
bounded, since answers are read between others on one event loop.
"""

import contextlib
import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import orjson
from json_repair import repair_json
from pydantic import ValidationError

from hub_speed.generation.escapes import once, restored
from hub_speed.llm.dialects import BROKEN_OFF, CUT_OFF, DECLINED
from hub_speed.llm.thoughts import DECODER, MARK, MOST_BROKEN, objects
from hub_speed.task_types import Answer

A = TypeVar("A", bound=Answer)

_QUOTE = "[\"'`“”„‘’«»]"

MAX_ANSWER_CHARS = 200_000
"""Longer answers are not looked into. Assumption: two documents of 500 words are about 7,000 characters."""


@dataclass(frozen=True)
class Rejected:
    """Why an answer is not used: a name of `rows.REASONS`, and what exactly was seen."""

    reason: str
    detail: str = ""


@dataclass
class Parsed(Generic[A]):
    """A validated answer, whether its JSON had to be repaired, and the reason of a check that rejects nothing here."""

    answer: A
    repaired: bool
    flaw: str = ""


def parse(text: str, model: type[A], finish_reason: str = "stop") -> "Parsed[A] | Rejected":
    """Read `text` as one `model` answer."""
    if finish_reason == CUT_OFF:
        return Rejected("truncated", f"stopped after {len(text)} characters")
    if finish_reason == DECLINED:
        return Rejected("refused", text[:200])
    if finish_reason == BROKEN_OFF:
        return Rejected("endpoint_error", f"the server broke off after {len(text)} characters")
    if not text.strip():
        return Rejected("empty_answer")
    if len(text) > MAX_ANSWER_CHARS:
        return Rejected("too_long", f"{len(text)} characters")
    value, repaired = load_object(text, model.model_fields)
    if value is None:
        return Rejected("bad_json", text[:80])
    if stray := next(filter(None, map(_stray, _texts(value))), ""):
        return Rejected("broken_text", ascii(stray))
    try:
        orjson.dumps(value)
    except TypeError as error:  # half a character in a key, say, which no file can hold
        return Rejected("wrong_type", str(error))
    try:
        return Parsed(model.model_validate(value), repaired)
    except ValidationError as error:
        return _reason(error)


# --- the answer among the objects -------------------------------------------------------------------------------------

Span = tuple[int, int, dict[str, Any]]
"""Start and end of an object in a text, and its value."""


def load_object(text: str, keys: Collection[str]) -> tuple[dict[str, Any] | None, bool]:
    """The answer among the JSON objects of `text`, and whether it had to be repaired.

    Of several objects with all the keys the last one counts: a model that thinks aloud writes drafts before it. One in
    a tag that does not name an answer (<planning>) is a draft wherever it stands. One with a key that cannot be read is
    the answer if it comes last. If it goes on behind the others, there is none. Where a model goes on with the next
    turns of a conversation, which nobody has asked for, what stands in them does not count. Without an object that has
    all the keys, one whose quotes are escaped is read, or one that stands alone in another. What was escaped twice is
    read once, but for texts that are JSON themselves, such as a revision.
    """
    if "\\" not in text:  # most answers are one object and nothing else
        with contextlib.suppress(ValueError):
            whole_text = orjson.loads(text)
            if isinstance(whole_text, dict) and whole_text.keys() >= set(keys):
                return whole_text, False
    value, repaired = _among_others(text, keys)
    if value is None or "\\\\" not in text:
        return value, repaired
    found = {key: once(each) if isinstance(each, str) and each[:1] != "{" else each for key, each in value.items()}
    return found, repaired or found != value


def _among_others(text: str, keys: Collection[str]) -> tuple[dict[str, Any] | None, bool]:
    """The answer of a text that may have other things in it; see `load_object`."""
    mended = restored(text)
    found = _objects(mended, tuple(keys))
    if found is None:
        return None, False
    whole, broken = found
    answers = [span for span in whole if span[2].keys() >= set(keys)]
    goes_on, before = False, len(answers) + len(broken)
    if answers and before > 1 and (turn := _next_turn(mended, whole, answers[0][1])):
        answers, broken = [span for span in answers if span[0] < turn], [start for start in broken if start < turn]
        mended, goes_on = mended[:turn], len(answers) + len(broken) < before
    if not answers and (inner := _encoded(mended, whole, keys)):
        return inner, True
    if broken:
        behind = mended[answers[-1][1] :] if answers else ""
        if not answers or broken[-1] > answers[-1][0]:
            return _repaired(mended, broken[-1])
        if _patterns(tuple(keys))[1].search(behind):
            return None, False
    with_a_key = [span for span in whole if span[2].keys() & set(keys)]
    for start, end, value in (answers or with_a_key or whole[:1])[: -MOST_BROKEN - 1 : -1]:
        if not _is_draft(mended, start, end):
            return value, goes_on or (mended is not text and mended[start:end] not in text)
    return None, False


_TURN = re.compile(
    r"(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|start\|>)\s*+(?:user|human)\b|<[|｜]user[|｜]>|\[INST\]"
    r"|\n[\s#*]*+(?:user|human|instruction|用户)\s*+[*]*+[:：]",
    re.IGNORECASE,
)
"""Where a user's turn begins: the chat templates of ChatML, Llama, Gemma, harmony, GLM, DeepSeek and Mistral, and in
plain words."""


def _next_turn(text: str, whole: list[Span], start: int) -> int:
    """Where a user's turn begins behind `start`, outside of the objects that can be read; 0 where none does."""
    begins = [begin for begin, _, _ in whole]
    for found in _TURN.finditer(text, start):
        before = bisect_right(begins, found.start())
        if not before or found.start() >= whole[before - 1][1]:
            return found.start()
    return 0


_ESCAPED = re.compile(r'\{(?:\s|\\+[nt])*+\\+"')
_TOOL_CALL = frozenset(("name", "type", "id", "arguments", "parameters"))


def _encoded(text: str, whole: list[Span], keys: Collection[str]) -> dict[str, Any] | None:
    r"""The answer of a text that has no object with all the keys; None where there is none.

    It is written as a JSON string (`"{\"input\": …}"`), perhaps without the quotes around it, or it is the only value
    of another object (`{"answer": {…}}`), or the arguments of a tool call.
    """
    if escaped := _ESCAPED.search(text):
        with contextlib.suppress(ValueError, RecursionError):
            inner = DECODER.decode(f'"{text[escaped.start() : text.rindex("}") + 1]}"')
            found = load_object(inner, keys)[0] if len(inner) < len(text) else None
            if found and found.keys() >= set(keys):
                return found
    for start, end, value in whole[: -MOST_BROKEN - 1 : -1]:
        if (len(value) == 1 or value.keys() <= _TOOL_CALL) and not _is_draft(text, start, end):
            for inner in value.values():
                if isinstance(inner, str):
                    with contextlib.suppress(ValueError):
                        inner = orjson.loads(inner)
                if isinstance(inner, dict) and inner.keys() >= set(keys):
                    return inner
    return None


def _objects(text: str, keys: tuple[str, ...]) -> tuple[list[Span], list[int]] | None:
    """The objects of a text that can be read, and where those begin that cannot, but have one of the keys.

    None when too many cannot be read.
    """
    opening, _ = _patterns(keys)
    whole: list[Span] = []
    broken: list[int] = []
    failed = 0
    for start, end, value, begun in objects(text, opening):
        if end:
            whole.append((start, end, value))
            continue
        failed += 1
        if begun["key"]:
            broken.append(start)
    if failed == MOST_BROKEN:
        return None
    return whole, broken


_CLOSING = re.compile(r"</\s*+([^\W\d_][\w:-]{0,40})\s*+>")
_OF_ANSWERS = re.compile(
    r"answer|final|output|response|result|reply|solution|completion|json|data|object|example|sample|item|record|document"
    r"|tool|function|call|code|xml|root|task|matching|retrieval|classification|bitext|sts"
    r"|答案|回答|回复|输出|结果|出力|答え|답변|출력|ответ|вывод|respuesta|réponse|resposta|antwort|risposta|उत्तर|إجابة|jawaban"
    r"|\A(?:pre|p|div|span|b|i|em|strong|html|body|details|section|article|s)\Z",
    re.IGNORECASE,
)
"""Tags around an answer. All others are taken for thinking, which models mark in ever new ways. Assumption."""


def _is_draft(text: str, start: int, end: int) -> bool:
    """Whether the object between two places of a text stands in a tag that does not name an answer."""
    closing = _CLOSING.search(text, end)
    if not closing or _OF_ANSWERS.search(closing[1]):
        return False
    return bool(re.search(rf"<\s*+{re.escape(closing[1])}(?:\s[^<>]*+)?>", text[:start]))


@cache
def _patterns(keys: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What the beginning of an object looks like, with one of the keys or not; and a key inside it."""
    names = "|".join(map(re.escape, keys))
    comment = r"(?://|\#)[^\n]{0,200}+\n|/\*[^*]{0,200}+\*/"  # the length keeps the work linear. Assumption
    opening = rf"""\{{(?:\s|{comment})*+(?:(?P<key>\\*{_QUOTE}?(?:{names})\b)|["}}])"""
    return re.compile(opening), re.compile(rf"(?:{names})\\*{_QUOTE}\s*+:")


# --- repairs ----------------------------------------------------------------------------------------------------------

MOST_REPAIR_WORK = 2_000_000
"""Characters times quotes of a text that may be repaired: 0.1 s of work, since json-repair looks ahead at every quote.
Assumption: documents of 10,000 characters with 200 quotes are the longest worth it."""
MOST_REPAIR_CHARS = 30_000
"""Longer texts are not repaired. Assumption: two documents of 500 words are about 7,000 characters."""
MOST_REPAIR_BRACKETS = 1000
"""Opening brackets of a text that may be repaired: 0.1 s of work, since json-repair may begin a value at each.
Assumption: 1,000 are enough for documents full of formulas."""


def _repaired(text: str, start: int) -> tuple[dict[str, Any] | None, bool]:
    """The object that begins at `start`, repaired; None when it is cut off, or when its texts would change."""
    text = text[start:]
    try:
        DECODER.decode(text)
    except json.JSONDecodeError as error:
        # The decoder has read to the end and wants more: cut off, whatever the server said about why it stopped.
        if error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip()) or "}" not in text:
            return None, False
    except (ValueError, RecursionError):
        return None, False
    if _is_too_much_work(text):
        return None, False
    try:
        value = repair_json(text, return_objects=True)
    except Exception:  # it trips over some texts in ways of its own (assertions, indexes): those cannot be repaired
        return None, False
    if not isinstance(value, dict) or not value or not all(_stands_in(text, leaf) for leaf in _texts(value)):
        return None, False
    return value, True


def _is_too_much_work(text: str) -> bool:
    """Whether a text is too long for a repair, or has too many quotes or brackets."""
    return (
        len(text) > MOST_REPAIR_CHARS
        or len(text) * len(re.findall(_QUOTE, text)) > MOST_REPAIR_WORK
        or sum(map(text.count, "([{")) > MOST_REPAIR_BRACKETS
    )


def _stands_in(text: str, leaf: str) -> bool:
    """Whether `leaf` is one of the quoted pieces of `text`, with or without its escapes."""
    escaped = json.dumps(leaf, ensure_ascii=False)[1:-1]
    if _JOINED.search(leaf):  # "red " + "kites", as JavaScript joins texts
        return False
    forms = (leaf, escaped, json.dumps(leaf)[1:-1], escaped.replace("'", "\\'"))
    return any(re.search(rf"{_QUOTE}\s*{re.escape(form)}\s*{_QUOTE}{_ENDS}", text) for form in forms)


_JOINED = re.compile(r"[\"']\s*\+\s*[\"']")
_ENDS = rf"(?=\s*+(?:[^\w\s]|{_QUOTE}|\Z)|\s++\w++\s*+[:=])"
"""What stands behind the quote that ends a text: a sign or a key. Before a word, the quote is one inside the text."""


def _texts(value: Any) -> Iterator[str]:
    """Every text among the values of an object, however deep."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value


# --- texts ------------------------------------------------------------------------------------------------------------

# Control characters, halves of characters, and U+FFFD, which stands for bytes that were none.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffd-\uffff]")
_PLAIN = bytes({*range(0x20, 0x7F), *b"\t\n\r"})
# What chat templates and tokenizers put between texts: ChatML, Llama, Mistral, Gemma, DeepSeek, T5, GLM and older
# ones. Texts on models name some of BERT's, and formulas look like others, so these count only at the end of a text.
TOKEN = re.compile(
    r"<\|[\w .:-]{1,40}\|>|<｜[^<>]{1,40}｜>|\[\|[\w .:-]{1,40}\|\]|</?s>|\[/?INST\]|<</?SYS>>"
    r"|<(?:start|end)_of_[a-z]{3,12}>|<(?:[a-z]{2,12}:)?(?:bos|eos|pad|unk|eo[adhm]|mask|sop|eop)>|<[BE]OS_TOKEN>"
    r"|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|\[[gs]MASK\]"
    r"|<(?:unused|extra_id_|reserved_|SPECIAL_)\d+>|<0x[0-9A-F]{2}>"
    r"|(?:\[(?:PAD|SEP|CLS|UNK|BOS|EOS)\]|< ?\|[\w .:-]{1,40}\| ?>|<\|[a-z_]{3,40}\|?)(?=\s*+\Z)"
)
_LIKE_THOUGHTS = re.compile(
    r"\s*+(?:okay|ok|alright|hmm+|wait|first|so|now|well|let me|let's|we need|i need|i should|the user)\b",
    re.IGNORECASE,
)
_STRUCK = re.compile(r"<s>(?:[^<]|<(?!/?s>))*+</s>")  # HTML


def _stray(text: str) -> str:
    """The first thing in a text that belongs in none; empty when there is no such thing.

    It is a special token, a control character, or a mark of thinking: at the beginning, or behind what was thought.
    """
    is_plain = text.isascii() and not text.encode().translate(None, _PLAIN)  # nearly always
    if not is_plain and (found := _NO_TEXT.search(text)):
        return found[0]
    if not ("<" in text or "[" in text or "◁" in text):
        return ""
    begun = MARK.match(text.lstrip())
    found = begun if begun and begun["open"] else _end_of_thoughts(text) or TOKEN.search(_STRUCK.sub("", text))
    return found[0] if found else ""


def _end_of_thoughts(text: str) -> re.Match[str] | None:
    """The mark that ends thinking, where the text before it is thinking. A text may well speak of such marks.

    It is thinking if it begins like that ("Okay, the user wants"), here or behind a mark; or if nothing marks where it
    begins and the mark that ends it stands at the edge of a line.
    """
    start, opened = 0, False
    for mark in MARK.finditer(text):
        if mark["open"]:
            start, opened = mark.end(), True
        elif _LIKE_THOUGHTS.match(text, start, mark.start()) or (
            not opened and (text[: mark.start()].rstrip(" ")[-1:] in ("", "\n") or text[mark.end() :][:1] == "\n")
        ):
            return mark
    return None


def _reason(error: ValidationError) -> Rejected:
    """The first thing pydantic complains about, as a reason: missing or extra keys before bad values."""
    problems = error.errors(include_url=False, include_input=False)
    by_kind = {p["type"]: ".".join(map(str, p["loc"])) for p in reversed(problems)}
    for kind in ("missing", "extra_forbidden"):
        if kind in by_kind:
            return Rejected("wrong_keys", f"{kind}: {by_kind[kind]}")
    if "string_too_short" in by_kind or "too_short" in by_kind:
        return Rejected("empty_field", by_kind.get("string_too_short", by_kind.get("too_short", "")))
    return Rejected("wrong_type", f"{problems[0]['type']}: {'.'.join(map(str, problems[0]['loc']))}")
