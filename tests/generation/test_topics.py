"""Topic paths: truncation, spelling out, and topic files."""

import gzip
import math
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.errors import RecipeError, StageError
from hub_speed.generation.topics import choose, parts_of, path_of, read_file, read_set, spoken, truncate
from hub_speed.recipe import Recipe

PART = st.text(alphabet="abcXYZ_ é-3", min_size=1, max_size=6).filter(str.strip)


@pytest.mark.parametrize(
    ("path", "depth", "expected"),
    [
        # SPEED App. D.1
        ("Arts/Movies/Titles/3/36_Hours_-_1964/Cast_and_Crew", 4, "Arts/Movies/36_Hours_-_1964/Cast_and_Crew"),
        ("Arts/Movies/Titles/3", 4, "Arts/Movies/Titles/3"),
        ("Arts", 4, "Arts"),
        ("a/b/c/d/e", 3, "a/b/e"),
        ("a/b/c/d/e", 2, "a/e"),
        ("a/b/c/d/e", 1, "a"),
        ("/a//b/ c /", 4, "a/b/c"),
        ("", 4, ""),
    ],
)
def test_truncate(path: str, depth: int, expected: str) -> None:
    assert truncate(path, depth) == expected


@given(st.lists(PART, min_size=1, max_size=9), st.integers(1, 8))
def test_truncate_keeps_head_and_tail_and_drops_the_middle(parts: list[str], depth: int) -> None:
    clean = [part.strip() for part in parts]
    found = truncate("/".join(parts), depth).split("/")
    assert len(found) == min(len(parts), depth)
    cut = next((i for i, (a, b) in enumerate(zip(found, clean, strict=False)) if a != b), len(found))
    assert found[cut:] == clean[len(clean) - (len(found) - cut) :]
    assert found[: (depth + 1) // 2] == clean[: (depth + 1) // 2]  # the head is never the shorter half
    assert truncate("/".join(found), depth) == "/".join(found)


def test_spoken() -> None:
    assert spoken("World/Countries/New_Zealand") == "World > Countries > New Zealand"
    assert spoken("Arts") == "Arts"


def test_a_slash_may_belong_to_a_name() -> None:
    path = path_of(["Computers", " Networks ", "", "TCP/IP"])
    assert path == r"Computers/Networks/TCP\/IP" and spoken(path) == "Computers > Networks > TCP/IP"
    assert parts_of(path) == ["Computers", "Networks", r"TCP\/IP"]
    assert truncate(path, 2) == r"Computers/TCP\/IP" and truncate(truncate(path, 2), 2) == truncate(path, 2)
    assert spoken("Computers/TCP/IP") == "Computers > TCP > IP"  # three levels, as ever


def test_a_topic_file_has_one_path_a_line(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_text("# a comment\nArts\n\n  Arts/Movies  \nC#/Tools\nÄrzte\n", "utf-8")
    assert read_file(path) == ["Arts", "Arts/Movies", "C#/Tools", "Ärzte"]


@pytest.mark.parametrize(
    ("content", "topics"),
    [
        ("\ufeffArts\r\nScience\r\n", ["Arts", "Science"]),  # as Windows saves it
        ("\ufeff# a comment\nArts", ["Arts"]),
        ("  # indented\n\t#\nC#\n # \n", ["C#"]),
        ("Arts\rScience\r", ["Arts", "Science"]),
        ("/\nArts\n / /\n", ["Arts"]),
        ("a\u2028b\nc\u2029d\ne\x85f\ng\x0bh\x0ci\x1cj\n", ["a\u2028b", "c\u2029d", "e\x85f", "g\x0bh\x0ci\x1cj"]),
        ("\n \n\t\r\n\u3000\nख़बर/राजनीति\n", ["ख़बर/राजनीति"]),
    ],
)
def test_a_topic_file_as_people_have_them(tmp_path: Path, content: str, topics: list[str]) -> None:
    """A byte order mark is no part of a topic, and only a line feed or a carriage return ends one."""
    path = tmp_path / "topics.txt"
    path.write_bytes(content.encode())
    assert read_file(path) == topics


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"# only\n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"caf\xe9", "cannot be read"),
        ("x".encode("utf-16"), "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_topic_file_that_is_none(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "topics.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=says) as caught:
        read_file(path)
    assert "brainstorm.topics" in str(caught.value)
    assert "topics.txt" in str(caught.value)


def test_a_topic_file_may_be_packed_or_parquet(tmp_path: Path) -> None:
    packed, table = tmp_path / "topics.txt.gz", tmp_path / "topics.parquet"
    packed.write_bytes(gzip.compress("# a comment\nArts\nÄrzte\n".encode()))
    pq.write_table(pa.table({"topic": ["Arts", "", None, "Ärzte"]}), table)
    assert read_file(packed) == read_file(table) == ["Arts", "Ärzte"]
    whole = packed.read_bytes()
    for content in (b"Arts\n", whole[:-9], whole[:12] + b"xxxx" + whole[16:]):
        packed.write_bytes(content)
        with pytest.raises(RecipeError, match=r"brainstorm.topics: .*topics.txt.gz cannot be read"):
            read_file(packed)
    pq.write_table(pa.table({"path": ["Arts"]}), table)
    with pytest.raises(StageError, match=r"topics .*topics.parquet: no column topic of texts"):
        read_file(table)
    pq.write_table(pa.table({"topic": [f"Arts/{i}" for i in range(1000)]}), table)
    whole = table.read_bytes()
    for damaged in (b"Arts", whole[:50] + b"\xff" * 900 + whole[950:]):
        table.write_bytes(damaged)
        with pytest.raises(StageError, match=r"topics .*topics.parquet: cannot be read as parquet"):
            read_file(table)


# --- which of the topics are used ------------------------------------------------------------------------------------


def recipe(max_topics: int | None, **mixture: float) -> Recipe:
    return Recipe.model_validate({"name": "x", "brainstorm": {"max_topics": max_topics}, "mixture": mixture})


TREE = [f"{a}/{b}/{c}" for a in "abcdefgh" for b in "ijklmnop" for c in "qrstuvwx"]


@given(st.sets(PART, max_size=60), st.integers(1, 70), st.integers(0, 70))
def test_a_smaller_choice_is_part_of_a_larger_one(topics: set[str], few: int, more: int) -> None:
    paths = sorted(topics, reverse=True)
    small, large = (choose(recipe(n, retrieval=7, sts=1, long_matching=2), paths) for n in (few, few + more))
    assert all(small[name] <= large[name] for name in small)
    assert len(small["retrieval"]) == min(few, len(paths))
    assert len(small["long_matching"]) == min(math.ceil(few * 2 / 7), len(paths))
    assert small["long_matching"] <= small["retrieval"]
    assert small["sts"] == set(range(len(paths)))  # takes no call


def test_without_a_limit_every_type_gets_every_topic() -> None:
    assert set(map(frozenset, choose(recipe(None, retrieval=7, sts=1, long_matching=2), TREE).values())) == {
        frozenset(range(len(TREE)))
    }
    assert choose(recipe(5, sts=1), TREE) == {"sts": set(range(len(TREE)))}


@pytest.mark.parametrize("count", [40, 100, 200])
def test_a_choice_is_spread_over_the_tree(count: int) -> None:
    """No branch, and no kind of leaf, is left out or taken twice as often as it should be."""
    chosen = [TREE[i] for i in choose(recipe(count, retrieval=1), TREE)["retrieval"]]
    for part in (0, 2, 4):
        found = Counter(path[part] for path in chosen)
        assert len(found) == 8 and max(found.values()) < 2 * count / 8


def test_the_topics_of_a_set_are_read_as_libraries_write_them(tmp_path: Path) -> None:
    kinds = [pa.nulls(2), pa.array(["a", " ", None]), pa.array(["b/c"], pa.string_view())]
    kinds += [pa.array(["d", "d"]).dictionary_encode(), pa.array(["e"], pa.large_string())]
    for number, column in enumerate(kinds):
        pq.write_table(pa.table({"topic": column}), tmp_path / f"{number}.parquet")
    assert read_set(tmp_path, "org/set") == ["a", "b/c", "d", "d", "e"]


@pytest.mark.parametrize(
    ("columns", "says", "got"),
    [
        (None, "there is no parquet file", ""),
        ({"topics": ["a"]}, "data/x.parquet: no column topic of texts", "topics (string)"),
        ({"topic": [1], "n": [2.5]}, "data/x.parquet: no column topic of texts", "topic (int64), n (double)"),
        ({"topic": [["a"]]}, "data/x.parquet: no column topic of texts", "topic (list<"),
        ({"topic": [None, ""]}, "every row is empty", ""),
    ],
)
def test_a_set_without_topics_is_named_with_its_columns(
    tmp_path: Path, columns: dict[str, list[object]] | None, says: str, got: str
) -> None:
    if columns:
        (tmp_path / "data").mkdir()
        pq.write_table(pa.table(columns), tmp_path / "data" / "x.parquet")
    with pytest.raises(StageError, match=f"topics org/set.*{says}") as caught:
        read_set(tmp_path, "org/set")
    assert got in caught.value.got and "brainstorm.topics" in caught.value.fix
