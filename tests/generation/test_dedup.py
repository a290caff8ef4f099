"""Duplicates are found, and nothing else is."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rensa import RMinHash, RMinHashLSH

from hub_speed.generation import dedup
from hub_speed.generation.dedup import MISSED, Duplicate, bands, exact_duplicates, near_duplicates, shingles, thin
from hub_speed.generation.ledger import Ledger
from hub_speed.recipe import Recipe
from hub_speed.rows import LedgerRow

# --- duplicates -----------------------------------------------------------------------------------------------------


def row(row_id: int, query: str, positive: str) -> dict[str, str]:
    return {"id": f"{row_id:05d}", "query": query, "positive": positive}


TEXT = st.sampled_from(["a", "b", "A", "a ", "c d"])


@given(st.lists(st.tuples(TEXT, TEXT), max_size=20))
def test_exact_duplicates_name_the_first_of_their_kind(pairs: list[tuple[str, str]]) -> None:
    rows = [row(i, *pair) for i, pair in enumerate(pairs)]
    same = [tuple(text.strip().lower() for text in pair) for pair in pairs]
    expected = [(f"{i:05d}", f"{same.index(pair):05d}", 1.0) for i, pair in enumerate(same) if same.index(pair) != i]
    assert list(exact_duplicates(rows, "query", "positive")) == expected


def text(rng: random.Random, length: int = 60) -> list[str]:
    return [f"w{rng.randrange(5000)}" for _ in range(length)]


def jaccard(a: str, b: str) -> float:
    x, y = set(shingles(a, 3)), set(shingles(b, 3))
    return len(x & y) / len(x | y)


def test_near_duplicates_in_other_scripts() -> None:
    bridge = "这座桥在洪水之后关闭了三天，村里的人只好绕远路去集市，孩子们也没有去上学。"
    hindi = "पुल बाढ़ के बाद तीन दिनों तक बंद रहा और गाँव के लोग लंबे रास्ते से बाज़ार गए।"
    pairs = [
        (bridge, "桥"),
        (bridge.replace("三天", "两天"), "桥"),
        ("这家面包店每天早上五点开门，老板亲自烤面包，邻居们排队来买，下午就卖完了。", "店"),
        (hindi, "पुल"),
        (hindi.replace("तीन", "दो"), "पुल"),
        ("पल बढ के बद तन दन तक बद रह और गव के लग लब रसत से बजर गए।", "पल"),  # the same consonants
    ]
    rows = [row(i, *pair) for i, pair in enumerate(pairs)]
    assert [(found.id, found.of) for found in near_duplicates(rows, 0.6, 256, 2)] == [
        ("00001", "00000"),
        ("00004", "00003"),
    ]


def in_memory(rows: list[dict[str, str]], threshold: float, permutations: int, size: int) -> list[Duplicate]:
    """What `near_duplicates` finds, from an index in memory that is asked row after row."""
    index, earlier, found = RMinHashLSH(threshold, permutations, bands(threshold, permutations)), [], []
    for each in rows:
        signature = RMinHash(permutations, seed=42)
        signature.update(shingles(f"{each['query']} {each['positive']}", size))
        close = [(signature.jaccard(earlier[i][1]), -i) for i in index.query(signature)]
        similarity, place = max(close, default=(0.0, 0))
        if similarity >= threshold:
            found.append(Duplicate(each["id"], earlier[-place][0], similarity))
        index.insert(len(earlier), signature)
        earlier.append((each["id"], signature))
    return found


WORDS = st.lists(st.integers(0, 12), max_size=12).map(lambda numbers: " ".join(f"w{n}" for n in numbers))


@given(st.lists(WORDS, max_size=40), st.sampled_from([0.3, 0.6, 0.9, 1.0]), st.sampled_from([12, 60, 120]))
@settings(max_examples=40)
def test_on_disk_the_same_is_found_as_in_memory(texts: list[str], threshold: float, permutations: int) -> None:
    rows = [row(i, each, "the answer") for i, each in enumerate(texts)]
    assert list(near_duplicates(rows, threshold, permutations, 1)) == in_memory(rows, threshold, permutations, 1)


def test_it_does_not_matter_how_many_rows_are_compared_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = chains(7)
    whole = list(near_duplicates(iter(rows), 0.6, 128, 3, tmp_path))
    assert whole == in_memory(rows, 0.6, 128, 3) and len(whole) > 100
    monkeypatch.setattr(dedup, "CHUNK", 7)
    assert list(near_duplicates(iter(rows), 0.6, 128, 3, tmp_path)) == whole
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_near_duplicates_are_those_that_share_most_word_runs() -> None:
    rng = random.Random(3)
    originals = [" ".join(text(rng)) for _ in range(300)]
    rows = [row(i, original, "answer one two three") for i, original in enumerate(originals)]
    close, far = {}, {}
    for i in range(100):  # one word of 60 changed: still much alike; every sixth word changed: not
        parts = originals[i].split()
        rows.append(row(1000 + i, " ".join([*parts[:-1], "other"]), "answer one two three"))
        close[rows[-1]["id"]] = f"{i:05d}"
        rows.append(
            row(2000 + i, " ".join("other" if k % 6 == 0 else w for k, w in enumerate(parts)), "answer one two three")
        )
        far[rows[-1]["id"]] = i
    found = {id_: of for id_, of, _ in near_duplicates(rows, 0.8, 128, 3)}
    assert not set(found) & set(far)
    assert len(set(found) & set(close)) >= 98  # an estimate: MinHash misses some
    assert all(close[row_id] == earlier for row_id, earlier in found.items())
    assert set(found) <= set(close)
    joined = {r["id"]: f"{r['query']} {r['positive']}" for r in rows}
    assert min(jaccard(joined[row_id], joined[earlier]) for row_id, earlier in found.items()) > 0.8


def test_the_first_is_kept_whatever_comes_after() -> None:
    rng = random.Random(1)
    base = " ".join(text(rng))
    rows = [row(i, base, "same") for i in (5, 3, 9)] + [row(7, " ".join(text(rng)), "same")]
    assert list(near_duplicates(rows, 0.9, 128, 3)) == [("00003", "00005", 1.0), ("00009", "00005", 1.0)]
    assert list(near_duplicates([], 0.9, 128, 3)) == []


def test_another_answer_to_the_same_query_is_no_duplicate() -> None:
    rng = random.Random(2)
    query, one, two = "what is it", " ".join(text(rng)), " ".join(text(rng))
    assert list(near_duplicates([row(0, query, one), row(1, query, two)], 0.9, 128, 3)) == []
    assert (
        list(near_duplicates([row(0, one, "yes"), row(1, one.upper() + "!", "Yes")], 0.9, 128, 3)) != []
    )  # only words count


def test_shorter_n_grams_forgive_more() -> None:
    words = " ".join(text(random.Random(5))).split()
    changed = ["other" if i % 12 == 0 else word for i, word in enumerate(words)]  # of 12 words, or of 12 three-grams, 3
    rows = [row(0, " ".join(words), "x"), row(1, " ".join(changed), "x")]
    assert [len(list(near_duplicates(rows, 0.7, 256, size))) for size in (1, 3)] == [1, 0]


@pytest.mark.parametrize("permutations", [12, 60, 120, 256])
def test_any_number_of_permutations_a_recipe_allows(permutations: int) -> None:
    rng = random.Random(4)
    rows = [row(i, " ".join(text(rng)), "x") for i in range(50)] * 2
    rows = [r | {"id": f"{i:05d}"} for i, r in enumerate(rows)]
    assert [row_id for row_id, *_ in near_duplicates(rows, 0.9, permutations, 3)] == [
        f"{i:05d}" for i in range(50, 100)
    ]


def test_by_default_one_other_word_makes_no_new_row_and_another_subject_does() -> None:
    how = Recipe(name="r").revise
    query, positive = "how long do oak trees live", "Most oak trees live for two or three centuries, some much longer."
    rows = [
        row(0, query, positive),
        row(1, query, positive.replace("Most", "Many")),
        row(2, query, "An oak drops its leaves in autumn, and its wood is used for barrels and floors."),
        row(
            3,
            query.replace("oak trees", "house cats"),
            "A house cat often reaches fifteen years, and some reach twenty.",
        ),
    ]
    found = near_duplicates(rows, how.dedup_threshold, how.dedup_permutations, how.dedup_words)
    assert [(each.id, each.of) for each in found] == [("00001", "00000")]
    assert list(near_duplicates(rows, 0.9, 120, 3)) == []  # 3-grams at 0.9 are nearly an exact match


@given(st.floats(0.3, 1), st.integers(1, 20).map(lambda n: 12 * n))
def test_bands_miss_few_pairs_and_divide_a_signature(threshold: float, permutations: int) -> None:
    count = bands(threshold, permutations)
    assert permutations % count == 0
    assert (1 - threshold ** (permutations // count)) ** count <= MISSED or count == permutations


def entry(row_id: str, state: str = "accepted") -> LedgerRow:
    texts: dict[str, Any] = dict.fromkeys(("task_type", "detail", "request", "model"), "")
    lists: dict[str, Any] = {name: [] for name in ("completions", "thoughts", "finish_reasons")}
    counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "calls", "attempts", "latency_s"), 0)
    reason = "" if state == "accepted" else "endpoint_error"
    return LedgerRow.model_validate(texts | lists | counts | {"id": row_id, "state": state, "reason": reason})


def chains(seed: int) -> list[dict[str, str]]:
    """Thirty texts, each followed by ever more changed versions of it: near-duplicates of near-duplicates."""
    rng, rows = random.Random(seed), []
    for _ in range(30):
        parts = text(rng)
        for _ in range(8):
            rows.append(row(len(rows), " ".join(parts), "answer"))
            for _ in range(rng.randrange(3)):
                parts[rng.randrange(len(parts))] = f"w{rng.randrange(5000)}"
    rng.shuffle(rows)
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_a_ledger_is_thinned_as_the_rows_themselves(tmp_path: Path, seed: int) -> None:
    rows = chains(seed)
    with Ledger(tmp_path) as ledger:
        ledger.add((entry(each["id"]), each) for each in rows)
        ledger.add([(entry("failed", "failed"), None)])
        in_order = list(ledger.rows())
        ledger.reject(near_duplicates(ledger.rows(), 0.6, 128, 3), "near_duplicate")
        entries = list(ledger.entries())
    kept = []
    for threshold in (0.6, 0.7, 0.8, 0.9, 1.0):
        dropped = {found.id for found in near_duplicates(in_order, threshold, 128, 3)}
        kept.append([each["id"] for each in in_order if each["id"] not in dropped])
        assert list(thin(entries, threshold)) == kept[-1]
    assert sorted(map(len, kept)) == [*map(len, kept)] and len(kept[0]) < len(kept[2]) < len(kept[4])


def test_a_duplicate_names_the_most_similar_earlier_row_kept_or_not() -> None:
    words = text(random.Random(6), 80)
    first, second = [*words[:-2], "x", "y"], [*words[:-4], "u", "v", "x", "y"]
    rows = [row(i, " ".join(parts), "") for i, parts in enumerate((words, first, second))]
    found = list(near_duplicates(rows, 0.8, 256, 3))
    assert [(each.id, each.of) for each in found] == [("00001", "00000"), ("00002", "00001")]
    texts = [each["query"] for each in rows]
    for each, (one, other) in zip(found, ((0, 1), (1, 2)), strict=True):
        assert isinstance(each, Duplicate) and each.similarity == pytest.approx(
            jaccard(texts[one], texts[other]), abs=0.1
        )


@given(st.text(max_size=60))
def test_shingles_cover_every_word(value: str) -> None:
    found = shingles(value, 3)
    assert found
    assert all(len(run.split()) <= 3 for run in found)


def test_shingles() -> None:
    assert shingles("The cat sat, on the mat.", 3) == ["the cat sat", "cat sat on", "sat on the", "on the mat"]
    assert shingles("The cat", 3) == ["the cat"]
    assert shingles("", 3) == [""] == shingles("", 1)
