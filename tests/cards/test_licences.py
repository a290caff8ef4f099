"""Licences: which duties a version of data or weights must not drop, and what is only a note."""

import pytest

from hub_speed.cards import licences
from hub_speed.cards.licences import Source
from hub_speed.localhub import card_rules


@pytest.mark.parametrize(
    ("own", "source", "duty"),
    [
        ("apache-2.0", "mit", ""),
        ("mit", "apache-2.0", ""),
        ("mit", "cc-by-4.0", ""),
        ("cc-by-nc-4.0", "apache-2.0", ""),
        ("llama3", "mit", ""),
        ("other", "llama3", ""),
        ("apache-2.0", "other", ""),
        ("cc0-1.0", "mit", "keep the notices"),
        ("apache-2.0", "cc-by-nc-4.0", "no commercial use"),
        ("apache-2.0", "llama3", "Meta's Llama terms"),
        ("llama3", "gemma", "Google's Gemma terms"),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "the same licence again"),
    ],
)
def test_a_licence_may_add_duties_and_not_drop_one(own: str, source: str, duty: str) -> None:
    found = licences.conflicts(own, [Source("a/b@1234567", source)])
    assert found == ([f"a/b@1234567 is {source}, which asks for {duty}; {own} does not"] if duty else [])


def test_what_no_name_says_is_a_note() -> None:
    found = licences.notes([Source("a/b", ""), Source("a/c", "other"), Source("a/d", "mit")], ["gpt-4o-2024-05-13"])
    assert [note.split()[0] for note in found] == ["a/b", "a/c", "The"] and "OpenAI" in found[2]
    assert licences.notes([Source("a/d", "mit")], ["offline-teacher"]) == []


@pytest.mark.parametrize(
    ("teacher", "bound"),
    [
        ("gpt-4o-2024-05-13", True),
        ("openai/gpt-4o", True),
        ("openrouter/openai/o3-mini", True),
        ("chatgpt-4o-latest", True),
        ("gpt-oss-120b", False),
        ("openai/gpt-oss-20b", False),
        ("EleutherAI/gpt-j-6b", False),
        ("Qwen/Qwen3-32B", False),
    ],
)
def test_whose_terms_bind_a_teachers_answers(teacher: str, bound: bool) -> None:
    assert ["OpenAI's terms" in note for note in licences.notes([], [teacher])] == [True] * bound


def test_what_our_cards_may_name_is_what_the_embedded_hub_takes() -> None:
    assert set(card_rules.LICENCES) == licences.HUB_NAMES  # two lists: neither of the two may import the other
