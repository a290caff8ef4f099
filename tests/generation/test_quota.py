"""Wave after wave until the rows are there: exact counts, the same rows after any kill, and a larger set holds them."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.generation.jobs import Accepted, Job, Todo, ledger_entry
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.online import _waves
from hub_speed.generation.parsing import Rejected
from hub_speed.generation.quota import MOST, Quota
from hub_speed.llm.address import Address
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.mix import deal, shares

MIXTURE = {"sts": 3.0, "bitext": 1.0}
ADDRESS = Address("teacher", "m", ())
Pattern = dict[str, list[bool]]


def jobs(asked: dict[str, int], todo: Todo) -> Iterator[Job]:
    """The first rows of each type; `source` counts the rows of the type before it."""
    dealt = Counter[str]()
    for i, name in enumerate(islice(deal(MIXTURE), 20 * sum(asked.values()))):
        if dealt[name] < asked[name] and todo(f"row-{i:07d}"):
            yield Job(f"row-{i:07d}", name, Request(f"prompt {i}", Sampling(1.0, 1.0, 9)), source=dealt[name])
        dealt[name] += 1


def ask(folder: Path, rows: int, pattern: Pattern, most: int | None = None) -> set[str]:
    """The rows that are published; asked for one by one, and killed after `most`, when nothing is published."""
    quota = Quota.of(MIXTURE, rows)
    with Ledger(folder) as ledger:
        quota.resume(ledger)
        waves = _waves(lambda todo: jobs(quota.asked, todo), ledger, lambda: quota.ask_more(ledger))
        for nth, job in enumerate(job for wave in waves for job in wave):
            if nth == most:
                return set()
            good = pattern[job.task_type][job.source % len(pattern[job.task_type])]
            outcome = Accepted({"id": job.id}) if good else Rejected("bad_json")
            ledger.add([ledger_entry(job, ADDRESS, Completion(("x",), ("stop",), "m", 1, 1), outcome)])
        quota.drop_surplus(ledger)
        short = {text.partition(":")[0] for text in quota.shortfalls(ledger)}
        found = Counter(row["id"] for row in ledger.rows())
        counts, wanted = ledger.accepted_by_type(), shares(MIXTURE, rows)
        assert short == {name for name in MIXTURE if counts[name] < wanted[name]}
        assert all(quota.asked[name] == MOST * wanted[name] for name in short)
        assert all(counts[name] <= wanted[name] for name in MIXTURE)
        assert ledger.counts().total() == quota.total
    return set(found)


def first_accepted(rows: int, pattern: Pattern) -> set[str]:
    """What has to be published, worked out by hand."""
    wanted, dealt, found = shares(MIXTURE, rows), Counter[str](), dict[str, list[str]](sts=[], bitext=[])
    for i, name in enumerate(islice(deal(MIXTURE), 20 * rows)):
        good = pattern[name][dealt[name] % len(pattern[name])]
        if good and dealt[name] < MOST * wanted[name] and len(found[name]) < wanted[name]:
            found[name].append(f"row-{i:07d}")
        dealt[name] += 1
    return {row for each in found.values() for row in each}


PATTERN = st.fixed_dictionaries({name: st.lists(st.booleans(), min_size=1, max_size=9) for name in MIXTURE})


@settings(max_examples=30)
@given(PATTERN, st.integers(1, 14), st.integers(0, 6), st.lists(st.integers(0, 30), max_size=3))
def test_what_is_published_depends_on_the_answers_alone(
    pattern: Pattern, rows: int, extra: int, kills: list[int]
) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as two, TemporaryDirectory() as three:
        published = ask(Path(one), rows, pattern)
        assert published == first_accepted(rows, pattern)
        for most in kills:
            ask(Path(two), rows, pattern, most)
        assert ask(Path(two), rows, pattern) == published
        assert published <= ask(Path(three), rows + extra, pattern)


def test_the_next_wave_is_as_large_as_the_yield_asks_for(tmp_path: Path) -> None:
    quota = Quota({"sts": 10, "bitext": 10}, {"sts": 40, "bitext": 13})
    with Ledger(tmp_path) as ledger:
        for i, name in enumerate(["sts"] * 10 + ["bitext"] * 10):
            job = Job(f"row-{i:07d}", name, Request("p", Sampling(1.0, 1.0, 9)))
            outcome = Accepted({"id": job.id}) if i % 10 < 3 else Rejected("bad_json")
            ledger.add([ledger_entry(job, ADDRESS, Completion(("x",), ("stop",), "m", 1, 1), outcome)])
        assert quota.ask_more(ledger)
        assert quota.asked == {"sts": 10 + 23, "bitext": 13}  # 7 / 0.3; no more than there may be
        resumed = Quota(quota.wanted, quota.most)
        resumed.resume(ledger)
        assert resumed.asked == quota.asked
