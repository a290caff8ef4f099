"""What a reasoning model thinks before it answers, kept apart from the answer where the text holds both.

Every family of models marks its thinking in its own way. Servers that do not know the model leave the marks in.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

_NAME = r"(?!end_)(?:\w{1,12}[:_])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflect(?:ion)?|analysis|scratchpad)"
_OPEN = rf"""
    [<◁] \s*+ \|? \s*+ {_NAME} \s*+ \|? \s*+ [>▷]                       # most families, each with names of its own
  | \[ \s*+ THINK \s*+ \]                                               # Mistral
  | (?: <\|start\|> \s*+ assistant \s*+ )? <\|channel\|?> \s*+ (?: analysis | commentary | thought ) \b
    (?: [^<\n]* <\|message\|> )?                                        # harmony; Gemma
  | <unused94> \s*+ thought                                             # MedGemma
  | \A \s*+ analysis (?= .* assistantfinal )                            # harmony, its special tokens taken out
"""
_CLOSE = rf"""
    [<◁] \s*+ \|? \s*+ / \s*+ \|? \s*+ {_NAME} \s*+ \|? \s*+ [>▷]
  | \[ \s*+ / \s*+ THINK \s*+ \]
  | <\|? (?: end_of_thought | end_thinking ) \|?>                       # Sky-T1, OpenThinker; Command A
  | (?: <\|start\|> \s*+ assistant \s*+ )? <\|channel\|?> \s*+ final \b (?: [^<\n]* <\|constrain\|> )?
    [^<\n]* <\|message\|>
  | <channel\|> | <unused95> | assistantfinal
"""
MARK = re.compile(f"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE | re.VERBOSE | re.DOTALL)
"""Where thinking begins or ends. Sources: the chat templates of the models named above, and of Qwen (<think>), EXAONE
(<thought>), Seed (<seed:think>), LongCat (<longcat_think>), Kimi (◁think▷), in any case."""
_WORDS = ("think", "thought", "reason", "reflect", "analysis", "scratchpad", "channel", "unused9", "assistantfinal")

MOST_BROKEN = 32
"""Objects that cannot be read before a text is given up: each may cost a reading of the whole text. Assumption."""
DECODER = json.JSONDecoder(strict=False)  # models write raw line breaks inside strings, and servers pass them on
_OBJECT = re.compile(r'\{\s*["}]')


def apart(text: str) -> tuple[str, str]:
    """What was thought, and the answer: the text without the thinking.

    Some chat templates write the first mark into the prompt, so that only the closing one is in the text: all before it
    is thinking. Thinking that never ends has no answer behind it. Marks inside a JSON object are part of its values.
    """
    marks = list(_marks(text)) if _may_hold_marks(text) else []
    if not marks:
        return "", text
    thoughts: list[str] = []
    answer, place, thinking = "", 0, False
    for mark in marks:
        if thinking and mark["open"]:
            continue
        piece = text[place : mark.start()]
        if thinking:
            thoughts.append(piece)
        elif mark["close"]:
            thoughts.append(answer + piece)
            answer = ""
        else:
            answer += piece
        place, thinking = mark.end(), bool(mark["open"])
    if thinking:
        thoughts.append(text[place:])
    else:
        answer += text[place:]
    return "\n".join(filter(None, map(str.strip, thoughts))), answer


def _may_hold_marks(text: str) -> bool:
    """A quick look, since almost no answer holds a mark."""
    if not any(sign in text for sign in ("<", "[", "◁", "assistantfinal")):
        return False
    lower = text.lower()
    return any(word in lower for word in _WORDS)


def _marks(text: str) -> Iterator[re.Match[str]]:
    """The marks of thinking that stand outside of JSON objects, from left to right.

    None in a text that begins as an object and cannot be read: that is an answer in need of repair.
    """
    found = objects(text, _OBJECT) if MARK.search(text) else ()
    spans = [(start, end) for start, end, *_ in found if end]
    begin = len(text) - len(text.lstrip())
    if text[begin : begin + 1] == "{" and (not spans or spans[0][0] != begin):
        return
    passed = iter([*spans, (len(text), len(text))])
    start, end = next(passed)
    for mark in MARK.finditer(text):
        while end <= mark.start() < len(text):
            start, end = next(passed)
        if mark.start() < start:
            yield mark


def objects(text: str, opening: re.Pattern[str]) -> Iterator[tuple[int, int, Any, re.Match[str]]]:
    """The JSON objects in a text, whatever stands around them; ends when too many cannot be read (`MOST_BROKEN`).

    Args:
        text: an answer.
        opening: how an object begins.

    Yields:
        Where the object begins and ends, its value, and how it begins; end 0 and None for one that cannot be read.
    """
    place, broken = 0, 0
    while broken < MOST_BROKEN and (begun := opening.search(text, place)):
        start = begun.start()
        try:
            value, place = DECODER.raw_decode(text, start)
            yield start, place, value, begun
        except (ValueError, RecursionError):  # also numbers of thousands of digits, and braces in braces in braces
            place, broken = start + 1, broken + 1
            yield start, 0, None, begun
