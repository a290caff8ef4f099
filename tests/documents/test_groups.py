"""Groups of documents, and their splits: no group is in two of them."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.documents.groups import COMMON, grouped, splits

rng = random.Random(1)
VOCABULARY = [f"word{i}" for i in range(3000)]


def text(seed: int, size: int = 300) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=size))


def changed(original: str, share: float) -> str:
    """The text with this share of its words replaced."""
    return " ".join("other" if rng.random() < share else word for word in original.split())


def groups(**documents: str) -> list[set[str]]:
    found = grouped(documents.items(), 0.6)
    assert all(group == min(name for name in found if found[name] == group) for group in found.values())
    return [{name for name in found if found[name] == group} for group in sorted(set(found.values()))]


def test_near_duplicates_form_a_group_and_a_third_one_joins_two() -> None:
    one, other = text(1), text(2)
    assert groups(a=one, b=changed(one, 0.03), c=other) == [{"a", "b"}, {"c"}]
    first, second, third = (text(seed) for seed in (3, 4, 5))
    both = {"a": f"{first}\n\n{second}", "b": f"{second}\n\n{third}"}
    assert groups(**both) == [{"a"}, {"b"}]
    assert groups(**both, c=second) == [{"a", "b", "c"}]


def test_a_document_that_holds_another_is_of_its_group_and_a_licence_joins_nothing() -> None:
    chapters = {f"chapter{i}": text(i) for i in range(8)}
    assert groups(book="\n\n".join(chapters.values()), **chapters) == [{"book", *chapters}]
    licence = text(99, 400)
    many = {f"d{i:02}": f"{licence}\n\n{text(i, 100)}" for i in range(COMMON + 5)}
    assert len(groups(**{name: body.replace(licence, licence[:900]) for name, body in many.items()})) == len(many)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.text("0123456789abcdef", min_size=4, max_size=16), min_size=1, max_size=40), st.data())
def test_every_split_has_a_group_as_long_as_there_are_enough(names: set[str], data: st.DataObject) -> None:
    dev, test = data.draw(st.sampled_from([(0.1, 0.2), (0.0, 0.3), (0.2, 0.0), (0.45, 0.45)]))
    found = splits(names, dev, test)
    assert set(found) == names
    counts = Counter(found.values())
    assert counts["train"] >= 1
    assert bool(counts["test"]) == (test > 0 and len(names) > 1)
    assert bool(counts["dev"]) == (dev > 0 and len(names) > 1 + (test > 0))


def test_later_groups_leave_the_others_where_they_are() -> None:
    few = [f"{i:016x}" for i in range(200)]
    before, after = splits(few, 0.1, 0.2), splits([*few, *(f"{i:016x}" for i in range(200, 900))], 0.1, 0.2)
    assert {name: after[name] for name in few} == before
    shares = Counter(after.values())
    assert shares["test"] / 900 == pytest.approx(0.2, abs=0.04) and shares["dev"] / 900 == pytest.approx(0.1, abs=0.03)
