"""Answers damaged in many ways: none raises, none is wrongly accepted. HUB_SPEED_CORPUS=1000000 makes it a long run.

What is accepted must be there: without a repair, the values are those that a strict parser reads at one of the braces.
With a repair, every value still stands in the text as it is, so that a repair may mend quotes and commas, but make
nothing up.
"""

import json
import os
import random
import re
from collections import Counter

import pytest

from hub_speed.generation.parsing import Parsed, Rejected, load_object, parse
from hub_speed.generation.prompts import Revision, Tasks, Verdict
from hub_speed.rows import REASONS
from hub_speed.task_types import TASK_TYPES
from hub_speed.task_types.base import Answer

INPUTS = int(os.environ.get("HUB_SPEED_CORPUS", "20000"))
SHARDS = 8

ANSWERS: list[tuple[type[Answer], dict]] = [
    *((kind.answer, dict(kind.example)) for kind in TASK_TYPES.values()),
    (Tasks, {"tasks": ["Find passages that answer it.", 'Given a "claim", find reports: {all} of them, [1].']}),
    (Verdict, {"reason": "the second one, it's shorter", "best": 1, "worst": 0}),
    (Revision, {"reason": "none", "revision": dict(TASK_TYPES["sts"].example)}),
    (Revision, {"reason": "a line\nbreak", "revision": json.dumps(dict(TASK_TYPES["bitext"].example))}),
]
PIECES = [
    '"',
    "'",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\",
    "\n",
    "```",
    "```json\n",
    "//",
    "null",
    "\\u",
    "\\ud83d",
    "é",
    "NaN",
    "\\frac",
    "\\theta",
    "<|im_end|>",
]
BEFORE = ["", "{1, 2}: {task} ", "Sure! Here it is:\n", "```json\n", "[", '{"thinking": "hm"}\n', "Answer: "]
AFTER = ["", " I am done <|im_end|>", "\n```", "]", "\nLet me know if {this} helps!", "}", '{"a": 1}']


def damaged(rng: random.Random, text: str) -> str:
    """A text of which some pieces are lost, doubled, swapped, replaced, requoted or cut off."""
    for _ in range(rng.randrange(4)):
        i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        j = min(j, i + rng.choice((1, 1, 2, 5, 40)))
        kind = rng.randrange(6)
        if kind == 0:
            text = text[:i] + text[j:]
        elif kind == 1:
            text = text[:j] + text[i:]
        elif kind == 2:
            text = text[:i] + rng.choice(PIECES) + text[i:]
        elif kind == 3:
            text = text[:i] + rng.choice(PIECES) + text[j:]
        elif kind == 4:
            text = text.replace(rng.choice('",:'), rng.choice("',; "), rng.choice((1, 2, -1)))
        else:
            text = text[:j]
    return rng.choice(BEFORE) + text + rng.choice(AFTER)


def leaves(value: object) -> list[str]:
    """Every text in an answer."""
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [str(value)]


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.timeout(0)
def test_damaged_answers(shard: int) -> None:
    rng, seen = random.Random(shard), Counter[str]()
    for _ in range(INPUTS // SHARDS):
        model, answer = rng.choice(ANSWERS)
        text = damaged(rng, json.dumps(answer, ensure_ascii=rng.random() < 0.3, indent=rng.choice((None, None, 1))))
        found = parse(text, model, rng.choice(("stop", "stop", "stop", "length")))
        if isinstance(found, Rejected):
            assert found.reason in REASONS, text
            found.detail.encode()
            seen[found.reason] += 1
            continue
        seen["repaired" if found.repaired else "accepted"] += 1
        check(text, model, found)
    assert seen["accepted"] > 0 < seen["repaired"]
    assert {"truncated", "bad_json", "wrong_keys"} <= seen.keys()


def check(text: str, model: type[Answer], found: Parsed[Answer]) -> None:
    """Whether an accepted answer is really there."""
    value, repaired = load_object(text, model.model_fields)
    assert repaired == found.repaired
    assert found.answer == model.model_validate(value)
    json.dumps(found.answer.model_dump(), ensure_ascii=False).encode()
    if not found.repaired:
        assert value in [read(text, brace.start()) for brace in re.finditer("{", text)], text
        return
    there = plain(text)
    for leaf in leaves(found.answer.model_dump()):
        assert plain(leaf) in there, (text, leaf)


def read(text: str, start: int) -> object:
    """The object that begins at a brace, if one can be read there."""
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, start)[0]
    except ValueError:
        return None


def plain(text: str) -> str:
    """A text without white space and without escapes, of whatever depth."""
    text = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    return re.sub(r"\\+[nrtbf]|\\|[\s\x08]", "", text)
