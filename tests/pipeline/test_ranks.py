"""Ranks on the embedded Hub: who publishes, what is left, budgets, engines; and what is refused before it costs."""

import json
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_batches import FakeBatches, answered
from fake_openai import Asked, FakeOpenAI, Reply, error
from grounded_corpus import corpus
from hub_proxy import Proxy, proxied
from huggingface_hub import HfApi
from pydantic import BaseModel
from stage_run import Silent
from toy_stages import TASKS, Toy, answer, texts

from hub_speed import api, engines
from hub_speed.engines.jobs import Jobs
from hub_speed.engines.local import Local
from hub_speed.errors import BudgetSpent, Busy, HubSpeedError, NoSpace, RanksLeft, RecipeError, ShardLost, Stopped
from hub_speed.hub import Hub
from hub_speed.llm.batch_api import Batches
from hub_speed.localhub import LocalHub
from hub_speed.pipeline.branch import Branch
from hub_speed.pipeline.lock import locked
from hub_speed.pipeline.rank import _Beat, part_of, run_rank
from hub_speed.pipeline.ranked import ON_HUB, Ranked, told
from hub_speed.pipeline.ranks import publish, run_all
from hub_speed.pipeline.table import ASKS, wanted
from hub_speed.recipe import BudgetCaps
from hub_speed.rows import MinedRow, PassageRow, QuestionRow, SeedRow, TaskRow
from hub_speed.shared import Folder, Progress, Share, Wave

ROWS = {"seed": {"rows": 30}}


class Ranking(Toy):
    """A recipe whose brainstorming is finished, and ranks that work its seed rows."""

    def __init__(self, folder: Path, server: FakeOpenAI, hub: Hub) -> None:
        super().__init__(folder, server, hub)
        self.begin()
        self.put_rows(self.recipe(), "brainstorm", TaskRow, TASKS)

    def ranked(self, world: int, rows: int = 30, shared: Path | None = None, **values: Any) -> Ranked:
        recipe = self.recipe(seed={"rows": rows}, **values)
        return Ranked(recipe, self.session(), "seed", world, shared)


@pytest.fixture
def toy(tmp_path: Path, server: FakeOpenAI, local: LocalHub) -> Ranking:
    return Ranking(tmp_path, server, Hub(str(local.endpoint)))


class Here:
    """An engine that works the ranks one after the other in this process."""

    def __init__(self, again: Callable[[], Ranked]) -> None:
        self.again, self.turns = again, list[list[int]]()

    def run(self, chosen: list[int], stop: threading.Event) -> dict[int, int]:
        self.turns.append(chosen)
        codes = {}
        for rank in chosen:
            codes[rank] = 0
            try:
                run_rank(self.again(), rank)
            except HubSpeedError as error:
                codes[rank] = error.exit_code
        return codes

    def last_words(self, rank: int) -> str:
        return "its log"


def test_ranks_end_in_one_commit_and_leave_nothing(toy: Ranking) -> None:
    with pytest.raises(RanksLeft, match="wave 1: 3 of 3 ranks have not finished") as caught:
        publish(toy.ranked(3))
    assert caught.value.exit_code == 9
    engine = Here(lambda: toy.ranked(3))
    result = run_all(toy.ranked(3), engine)
    assert len(engine.turns) >= 2 and engine.turns[0] == [0, 1, 2]  # a quarter of the first wave was rejected
    record = result.record
    assert record.accepted == record.by_task_type["sts"] == 30 and record.ranks
    assert (record.ranks.world, record.ranks.waves) == (3, len(engine.turns))
    assert record.calls == {"teacher": len(toy.server.asked)} and record.rows_in == len(toy.server.asked)
    assert "by 3 ranks in" in toy.hub.card(result.ref)
    assert len(toy.hub.tags("dataset", "org/speed-seed")) == 1
    assert [path for path in (toy.folder / "home").rglob("*") if path.is_file() and "speed-seed" not in str(path)] == []
    assert run_rank(toy.ranked(3), 1) is None  # it comes late
    run_rank(toy.ranked(2, 20), 0)  # another run in the same place, which has to stay
    assert publish(toy.ranked(3)).cached and run_all(toy.ranked(3), engine).ref == result.ref
    assert told(toy.hub, "org", toy.folder / "home" / "ranks")["seed"][0]
    assert len(toy.server.asked) < record.rows_in + 20


def mined(number: int) -> dict[str, Any]:
    """A question with mined texts."""
    row: dict[str, Any] = dict.fromkeys(MinedRow.model_fields, "") | {"split": "train", "task_type": "retrieval"}
    row |= {"id": f"questions-{number:07d}", "query": f"question {number}"}
    for name, ids in (("positive", [f"p{number}"]), ("negative", ["n1", "n2", "n3"])):
        row |= {name: ids[0], f"{name}s": ids, f"{name}_ids": ids, f"{name}_scores": [0.5] * len(ids)}
    return row


def mostly(asked: Asked) -> Reply:
    """An answer, but to a few prompts never."""
    return error(500) if zlib.crc32(asked.prompt.encode()) % 31 == 0 else answer(asked)


@pytest.mark.usefixtures("short_waits")
def test_every_stage_that_asks_is_byte_for_byte_that_of_one_process(
    tmp_path: Path, server: FakeOpenAI, local: LocalHub
) -> None:
    """One organisation makes all of them by one process, the other by two or three ranks. What asks nobody is put."""
    toy, seen = Toy(tmp_path, server, Hub(str(local.endpoint))), set[str]()
    server.answer = mostly
    mix = {"mixture": {"retrieval": 1, "sts": 2}, "checks": "form", "audit": {"rows": 8}, "seed": {"rows": 20}}
    pairs = {"root": {"rows": 24, "candidates": 3}, "preference": {"rows": 12, "judge": "both_orders"}}
    recipe = toy.recipe(**mix, **pairs, revision={"rows": 12}, synthesize={"rows": 30})
    models = {"filter": {"embedder": "base"}, "mine": {"embedder": "base"}, "relabel": {"by": "judge"}}
    documents = toy.recipe(**models, corpus={"source": "topics"}, questions={"generator": "teacher", "rows": 12})
    made: dict[str, tuple[type[BaseModel], list[dict[str, Any]]]] = {
        "corpus": (PassageRow, corpus()),
        "filter": (QuestionRow, []),
        "mine": (MinedRow, [mined(number) for number in range(9)]),
    }
    toy.begin("one")
    toy.begin("many")
    for of, s in [(each, s) for each, end in ((recipe, "audit"), (documents, "relabel")) for s in wanted(each, end)]:
        if s.kind == "model" or s.name in made:
            for org in ("one", "many"):
                toy.put_model(of, s.name, org) if s.kind == "model" else toy.put_rows(of, s.name, *made[s.name], org)
            continue
        one, world = toy.run(of, s.name, "one"), 2 + len(s.name) % 2
        many = toy.run_ranks(of, s.name, world, "many")
        assert toy.files(many) == toy.files(one), f"{s.name} by {world} ranks"
        for name in ("accepted", "rows_in", "rejected", "by_task_type", "calls"):
            assert getattr(many.record, name) == getattr(one.record, name), (s.name, name)
        seen |= {s.name, *one.record.rejected}
    assert seen >= {*ASKS} - {"filter"}
    assert seen >= {"bad_json", "surplus", "duplicate", "near_duplicate", "orders_differ", "endpoint_error"}


def test_a_budget_is_dealt_out_and_never_passed(toy: Ranking) -> None:
    """The rows of ranks are unequal, so one leaves calls that others need."""
    caps = {"max_calls": 30}
    engine = Here(lambda: toy.ranked(3, 30, budget=caps))
    with pytest.raises(BudgetSpent, match="have rows left, and no other rank leaves anything") as caught:
        run_all(toy.ranked(3, 30, budget=caps), engine)
    assert caught.value.exit_code == 8
    assert 27 <= len(toy.server.asked) <= 30
    assert any(len(turn) < 3 for turn in engine.turns)  # those that had no rows left were not started again
    more = {"max_calls": 100}
    result = run_all(toy.ranked(3, 30, budget=more), Here(lambda: toy.ranked(3, 30, budget=more)))
    assert result.record.accepted == 30 and len(toy.server.asked) == result.record.rows_in <= 100


def worked(_: int, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What becomes of a batch: each answer as it would come online."""
    return [answered(each["custom_id"], texts(Asked("POST", "/", {}, each["body"], 1))[0]) for each in requests]


class StopsThen(Silent):
    """Progress that stops a run once something is so."""

    def __init__(self, stop: threading.Event, so: Callable[[], object]) -> None:
        super().__init__()
        self.stop, self.so = stop, so

    def measure(self, numbers: dict[str, Any]) -> None:
        if self.so():
            self.stop.set()


@pytest.mark.usefixtures("short_waits")
def test_batches_are_collected_by_their_rank_on_whatever_machine(
    toy: Ranking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank is stopped while its batch is under way, its machine is lost, and the budget is too small at first."""
    monkeypatch.setattr(Batches, "look_every_s", 0.005)
    files = toy.files(toy.run(toy.recipe(**ROWS), "seed"))
    HfApi(endpoint=toy.hub.endpoint).delete_repo("org/speed-seed", repo_type="dataset")
    shared, batch = tmp_path / "shared", toy.recipe().runtime.model_copy(update={"mode": "batch"}).model_dump()
    shared.mkdir()

    def rank(calls: int, number: int | None = None, stopped_if: Callable[[], object] | None = None) -> Ranked:
        recipe = toy.recipe(**ROWS, runtime=batch, budget={"max_calls": calls})
        session = toy.session()
        session.home = tmp_path / f"machine-{number}"
        if stopped_if:
            session.progress = lambda name: StopsThen(session.stop, stopped_if)
        return Ranked(recipe, session, "seed", 2, shared)

    with FakeBatches(worked) as provider:
        toy.url, provider.looks = provider.url, 10**9
        with pytest.raises(Stopped):
            run_rank(rank(30, 0, lambda: provider.submitted), 0)
        assert len(provider.submitted) == 1
        provider.looks = 1
        with pytest.raises(BudgetSpent, match="have rows left"):
            run_all(rank(30), Here(lambda: rank(30, 1)))
        assert 28 <= sum(map(len, provider.submitted)) <= 30
        result = run_all(rank(100), Here(lambda: rank(100, 2)))
        assert sum(map(len, provider.submitted)) == result.record.rows_in
    assert toy.files(result) == files


def test_parts_of_a_budget_add_up_to_no_more() -> None:
    caps = BudgetCaps(usd_per_million_read=1, usd_per_million_written=2, max_calls=101, max_tokens=1001, max_usd=9)
    first = [part_of(caps, Wave(), rank, 4) for rank in range(4)]
    spent = [(20, 90, 10), (25, 200, 50), (3, 5, 1), (25, 100, 100)]
    again = Wave(turn=2, spent=spent, going=[1, 3])
    second = [part_of(caps, again, rank, 4) for rank in range(4)]
    for parts in (first, second):
        assert all(part.lifetime for part in parts)
        assert sum(part.max_calls or 0 for part in parts) == 101
        assert sum(part.max_tokens or 0 for part in parts) <= 1001
        assert sum(part.max_usd or 0 for part in parts) <= 9.000001
    assert [part.max_calls for part in first] == [26, 25, 25, 25]
    assert [part.max_calls for part in second] == [20, 39, 3, 39]
    assert second[0].max_tokens == 100 and (second[1].max_tokens or 0) > 250
    with pytest.raises(RecipeError, match="less than a call for each rank"):
        part_of(BudgetCaps(max_calls=3), Wave(), 0, 4)


def test_what_is_wrong_is_said_before_anything_is_asked(toy: Ranking, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--rank 3"):
        run_rank(toy.ranked(3), 3)
    with pytest.raises(RecipeError, match="not a stage that ranks can work"):
        Ranked(toy.recipe(), toy.session(), "junior", 2, None)
    with pytest.raises(RecipeError, match="asks no model"):
        Ranked(toy.recipe(brainstorm={"tasks": "mine"}), toy.session(), "brainstorm", 2, None)
    documents = {"corpus": {"source": "org/topics"}, "filter": {"judge": "teacher"}}
    with pytest.raises(RecipeError, match="asks no model"):
        Ranked(toy.recipe(**documents), toy.session(), "relabel", 2, None)
    with pytest.raises(RecipeError, match=r"with filter\.judge, it asks twice"):
        Ranked(toy.recipe(**documents), toy.session(), "filter", 2, None)
    other = toy.recipe(mixture={"sts": 1, "retrieval": 1})
    with pytest.raises(RecipeError, match="ranks work one stage, and brainstorm before it is not finished"):
        Ranked(other, toy.session(), "seed", 2, None)
    with pytest.raises(RecipeError, match="there is no such folder"):
        toy.ranked(3, shared=tmp_path / "gone")
    with pytest.raises(RecipeError, match="8 ranks share 6 requests at once"):
        run_rank(toy.ranked(8, 20), 0)
    with pytest.raises(RanksLeft):
        publish(toy.ranked(3, 20))
    run_rank(toy.ranked(3, 20), 0)  # the place is free: the rank of another run has left nothing
    assert told(toy.hub, "org", toy.folder / "home" / "ranks")["seed"][1:] == [None, None]
    (tmp_path / "shared").mkdir()
    run_rank(toy.ranked(2, 30, tmp_path / "shared"), 0)
    asked = len(toy.server.asked)
    for other in (toy.ranked(2, 31, tmp_path / "shared"), toy.ranked(4, 30, tmp_path / "shared")):
        with pytest.raises(RecipeError, match="ranks of another run work here"):
            run_rank(other, 1)
        with pytest.raises(RecipeError, match="ranks of another run work here"):
            publish(other)
    assert len(toy.server.asked) == asked


def quick(ranked: Ranked) -> Ranked:
    """The same ranks, whose beats are short."""
    ranked.place = Folder(ranked.place.path, beat_s=0.03)  # type: ignore[attr-defined]
    return ranked


@contextmanager
def living(share: Share, beside: Ranked) -> Iterator[None]:
    """A rank on another machine, which says that it asks: whoever waits `beside` it finds that it has gone on."""
    told = Progress(wave=1, turn=1, holder="elsewhere /tmp/work")

    class Meanwhile(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            told.beat += 1
            share.tell(told)
            return super().wait(timeout)

    share.tell(told)
    beside.session.stop = Meanwhile()
    yield
    beside.session.stop = threading.Event()


def test_a_publisher_claims_no_place(toy: Ranking) -> None:
    """Where ranks of another run are at work, the place is theirs."""
    for rows in (30, 20):
        with pytest.raises(RanksLeft, match="3 of 3 ranks"):
            publish(toy.ranked(3, rows))
    share, other = quick(toy.ranked(3)).share(1), quick(toy.ranked(3, 20))
    with living(share, other), pytest.raises(RecipeError, match="or have left rows") as caught:
        other.share(0)
    assert "fingerprint" in caught.value.got and "extends" not in str(caught.value)
    quick(toy.ranked(3, 20)).share()
    assert share.progress(1)
    share.check_ours()  # the publisher has only looked


def test_a_place_whose_ranks_were_killed_before_their_first_shard_is_free(toy: Ranking) -> None:
    """One that was not killed but slept finds the place taken, and writes nothing that others might take for theirs."""
    slept, other = toy.ranked(3).share(1), quick(toy.ranked(2, 20))
    slept.tell(Progress(wave=1, turn=1, holder="elsewhere", spent=(7, 7, 7)))
    stopping = quick(toy.ranked(2, 20))
    stopping.session.stop.set()
    with pytest.raises(Stopped):
        run_rank(stopping, 1)  # nothing was found out
    assert slept.progress(1)
    mark = run_rank(other, 1)
    assert mark and mark.spent[0] == len(toy.server.asked)  # not with what the killed one has spent
    shard = toy.folder / "home" / "ranks" / "org" / "seed" / mark.shards[0]
    tell = Progress(wave=1, turn=1, holder="elsewhere")
    for write in (lambda: slept.tell(tell), lambda: slept.ship(shard, 9), lambda: slept.finish(mark)):
        with pytest.raises(RecipeError, match="ranks of another run work here"):
            write()
    assert run_all(other, Here(lambda: quick(toy.ranked(2, 20)))).record.accepted == 20
    with pytest.raises(RecipeError, match=r"about\.json is gone"):
        slept.finish(mark)
    assert not any(other.place.path.iterdir())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("about.json", "garbage"),
        ("wave.json", "{"),
        ("wave.json", '{"number": 1, "spent": [[1, 2, 3]]}'),
        ("rank-0001/finished.json", ""),
    ],
)
def test_a_damaged_file_of_the_shared_place_is_named(toy: Ranking, name: str, content: str) -> None:
    toy.ranked(3).share(1).tell(Progress(wave=1, turn=1, holder="h"))
    toy.ranked(3).place.write(name, content.encode())
    toy.ranked(3).place.write("rank-0001/progress.json", b"")  # it is being written
    for work in (lambda: run_rank(toy.ranked(3), 1), lambda: publish(toy.ranked(3))):
        with pytest.raises(RecipeError, match=f"{name} cannot be used") as caught:
            work()
        assert caught.value.exit_code == 2 and caught.value.fix
    assert toy.server.asked == []


def test_a_damaged_place_does_not_hide_the_others(toy: Ranking) -> None:
    ranks = toy.folder / "home" / "ranks"
    toy.ranked(2).share(1)
    (ranks / "org" / "root").mkdir()
    (ranks / "org" / "root" / "about.json").write_bytes(b"\xff")
    toy.ranked(2).place.write("rank-0001/progress.json", b"")
    found = told(toy.hub, "org", ranks)
    (damaged,) = found.pop("root")
    assert damaged and damaged.state == "damaged" and "about.json cannot be used" in damaged.error
    (name,) = found
    unbegun, unreadable = found[name]
    assert name == "seed" and unbegun is None
    assert unreadable and unreadable.state == "damaged" and "rank-0001/progress.json cannot" in unreadable.error


def test_a_damaged_file_of_a_rank_is_told_with_what_to_do_and_that_mends_it(toy: Ranking) -> None:
    place, ranks = toy.ranked(3).place, toy.folder / "home" / "ranks"
    run_rank(toy.ranked(3), 1)
    place.write("rank-0001/finished.json", b"garbage")
    place.write("rank-0002/progress.json", b"{")
    none, one, two = told(toy.hub, "org", ranks)["seed"]
    assert none is None and one and two and (one.state, two.state) == ("damaged", "damaged")
    assert "rank-0001/finished.json cannot be used" in one.error and "remove this file and start its rank" in one.error
    assert "rank-0002/progress.json cannot be used" in two.error and "leave it" in two.error
    asked = len(toy.server.asked)
    (Path(str(place.path)) / "rank-0001" / "finished.json").unlink()  # type: ignore[attr-defined]
    run_rank(toy.ranked(3), 1)
    assert len(toy.server.asked) == asked
    run_rank(toy.ranked(3), 2)
    assert [each and each.state for each in told(toy.hub, "org", ranks)["seed"]] == [None, "finished", "finished"]
    place.write("wave.json", b"{")
    (damaged,) = told(toy.hub, "org", ranks)["seed"]
    assert damaged and "wave.json cannot be used" in damaged.error


def test_what_ranks_tell_counts_the_calls_of_whatever_model_and_never_more_rows_than_all(toy: Ranking) -> None:
    """Rows are dealt out by a hash of their ids: few ranks have just an even part."""
    recipe = toy.recipe(root={"rows": 24, "candidates": 3})
    toy.put_rows(recipe, "seed", SeedRow, [])
    toy.put_model(recipe, "junior")
    ranked = Ranked(recipe, toy.session(), "root", 3, None)
    for rank in range(3):
        run_rank(ranked, rank)
    found = [each for each in told(toy.hub, "org", toy.folder / "home" / "ranks")["root"] if each]
    assert [each.done for each in found] == [each.total for each in found]
    assert {each.done for each in found} - {8} and sum(each.done for each in found) == 24
    assert [each.calls for each in found] == [each.done for each in found]
    assert all(each.rows_per_s for each in found) and {each.spent[0] for each in found} == {0}
    working = Progress(wave=1, turn=1, holder="h", done=7, total=8)
    working.advance(4)
    assert (working.done, working.total) == (11, 11)


def test_two_that_start_the_same_ranks_end_with_one_version(toy: Ranking, caplog: pytest.LogCaptureFixture) -> None:
    """The first is publishing when the ranks of the second have ended."""
    first, second = toy.ranked(2), toy.ranked(2)
    second.place = Folder(second.place.path, beat_s=0.02)  # type: ignore[attr-defined]
    work = second.session.home / "work" / "org" / f"seed-{second.fingerprint}"
    results: list[Any] = []
    with locked(work):
        thread = threading.Thread(target=lambda: results.append(run_all(second, Here(lambda: toy.ranked(2)))))
        thread.start()
        while thread.is_alive() and "waiting for it" not in caplog.text:
            thread.join(0.01)
    result = run_all(first, Here(lambda: toy.ranked(2)))
    thread.join()
    assert "another process works on this stage" in caplog.text
    assert results[0].ref == result.ref and len(toy.hub.tags("dataset", "org/speed-seed")) == 1


def test_a_rank_that_is_interrupted_is_stopped_on_its_machine(toy: Ranking) -> None:
    ranked = toy.ranked(2)
    share = ranked.share(0)
    ctx = ranked.worker(share).context(ranked.refs, ranked.identity, ranked.fingerprint, toy.folder)
    with pytest.raises(KeyboardInterrupt), _Beat(share, ctx, Progress(wave=1, turn=1, holder="node /tmp")):
        raise KeyboardInterrupt
    now = share.progress(0)
    assert now and (now.state, now.error, now.holder) == ("stopped", "", "node /tmp")


def test_a_rank_that_is_at_work_on_another_machine_is_left_alone(toy: Ranking) -> None:
    """Clocks are not compared: it is looked whether its beat goes on."""
    ranked = quick(toy.ranked(2))
    with living(ranked.share(0), ranked), pytest.raises(Busy, match="rank 0: it is at work already") as caught:
        run_rank(ranked, 0)
    assert caught.value.got == "elsewhere /tmp/work" and toy.server.asked == []
    mark = run_rank(ranked, 0)  # it is dead: this one takes over
    assert mark and mark.wave == 1
    shown = told(toy.hub, "org", toy.folder / "home" / "ranks")["seed"]
    assert shown[1] is None and shown[0] and shown[0].state == "finished" and shown[0].done > 5


def test_ranks_that_an_earlier_start_has_left_at_work_are_waited_for(
    toy: Ranking, caplog: pytest.LogCaptureFixture
) -> None:
    ranked = toy.ranked(2)
    ranked.place = Folder(ranked.place.path, beat_s=0.01)  # type: ignore[attr-defined]

    class Taken(Here):
        def run(self, chosen: list[int], stop: threading.Event) -> dict[int, int]:
            if self.turns:
                return super().run(chosen, stop)
            self.turns.append(chosen)
            ranked.share(0).tell(Progress(wave=1, turn=1, holder="elsewhere"))
            return dict.fromkeys(chosen, Busy.exit_code)

    engine = Taken(lambda: ranked)
    assert run_all(ranked, engine).record.accepted == 30
    assert engine.turns[:2] == [[0, 1], [0, 1]] and "ranks 0, 1 are at work already" in caplog.text
    with pytest.raises(Stopped, match="stopped"):
        stopped = toy.ranked(2, 20)
        stopped.session.stop.set()
        run_all(stopped, Idle(lambda: stopped))


def test_a_rank_that_fails_is_named_with_its_words(toy: Ranking) -> None:
    toy.server.answer = lambda asked: error(401, "no key")
    with pytest.raises(HubSpeedError, match="rank 0 of 2 ended with exit code 3") as caught:
        run_all(toy.ranked(2), Here(lambda: toy.ranked(2)))
    assert caught.value.where.endswith("answers 401") and caught.value.exit_code == 3
    toy.server.answer = answer
    assert run_all(toy.ranked(2), Here(lambda: toy.ranked(2))).record.accepted == 30


def test_a_shard_that_is_lost_is_made_again(toy: Ranking) -> None:
    """By a rank that has finished; and by all ranks on an engine, where it is tried once."""

    def shards(rank: int) -> list[Path]:
        return sorted((toy.folder / "home" / "ranks" / "org" / "seed" / f"rank-{rank:04d}").glob("*.parquet"))

    for rank in range(2):
        run_rank(toy.ranked(2), rank)
    asked, lost = len(toy.server.asked), shards(0)[0]
    lost.write_bytes(lost.read_bytes()[:-1] + b"x")
    with pytest.raises(ShardLost, match="its checksum is another") as caught:
        publish(toy.ranked(2))
    assert caught.value.exit_code == 5 and "start this rank again" in caught.value.fix
    mark = run_rank(toy.ranked(2), 0)
    again = len(toy.server.asked)
    assert mark and asked < again < 2 * asked and run_rank(toy.ranked(2), 0) == mark
    assert len(toy.server.asked) == again  # all is well: nothing is asked
    with pytest.raises(RanksLeft, match="wave 2 is needed"):
        publish(toy.ranked(2))
    shards(1)[0].unlink()  # the publisher has taken it, and now gets its rows under another name
    for rank in range(2):
        run_rank(toy.ranked(2), rank)
    for shard in shards(0):
        shard.unlink()
    idle = Idle(lambda: toy.ranked(2))
    with pytest.raises(ShardLost, match="it is missing"):
        run_all(toy.ranked(2), idle)
    assert idle.turns == [[0]]
    engine = Here(lambda: toy.ranked(2))
    assert run_all(toy.ranked(2), engine).record.accepted == 30
    assert engine.turns[0] == [0]


class Idle(Here):
    """An engine whose ranks do nothing."""

    def run(self, chosen: list[int], stop: threading.Event) -> dict[int, int]:
        self.turns.append(chosen)
        return dict.fromkeys(chosen, 0)


def test_the_error_of_a_rank_is_told_as_one(toy: Ranking, tmp_path: Path) -> None:
    """From its progress or, where not even that can be written, from its log."""

    class Full(Idle):
        def run(self, chosen: list[int], stop: threading.Event) -> dict[int, int]:
            return dict.fromkeys(chosen, 7)

        def last_words(self, rank: int) -> str:
            return engines.last_words(log)

    log, cause = tmp_path / "log", NoSpace("/s: cannot be used", expected="a folder", got="it is full", fix="free it")
    log.write_text(f'{{"stage": "seed"}}\nerror: {cause}\n')
    progress = Progress(wave=1, turn=1, holder="h", state="stopped", error=str(cause))
    for _ in range(2):
        with pytest.raises(HubSpeedError) as caught:
            run_all(toy.ranked(1), Full(lambda: toy.ranked(1)))
        error = caught.value
        assert error.where == "rank 0 of 1 ended with exit code 7: /s: cannot be used" and error.exit_code == 7
        assert (error.expected, error.got, error.fix.partition(" (")[0]) == ("a folder", "it is full", "free it")
        toy.ranked(1).share(0).tell(progress)


def test_no_shared_folder_is_no_answer(toy: Ranking, tmp_path: Path) -> None:
    hub = api.OpenHub(toy.hub, tmp_path, True, ExitStack())
    assert api.show_ranks(hub, org="org", shared=tmp_path) == {}
    with pytest.raises(RecipeError, match="there is no such folder") as caught:
        api.show_ranks(hub, org="org", shared=tmp_path / "gone")
    assert caught.value.exit_code == 2


# --- engines --------------------------------------------------------------------------------------------------------


def test_processes_of_this_machine_give_their_exit_codes_and_words(tmp_path: Path) -> None:
    engine = Local(engines.Options(("run", "no-such-recipe"), tmp_path / "logs", 2))
    assert engine.run([0, 1], threading.Event()) == {0: 2, 1: 2}
    assert "no-such-recipe" in engine.last_words(1) and str(tmp_path) in engine.last_words(1)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("kubernetes", {}, "--on kubernetes: there is no such engine"),
        ("slurm", {}, "sbatch is not here"),
        ("ray", {}, "Ray is not installed here"),
        ("jobs", {"hub": None}, "does not reach the Hub of this machine"),
        ("jobs", {"flavor": "a100-larg"}, "did you mean a100-large?"),
        ("jobs", {"timeout": ""}, "a Job is ended after 30 minutes"),
        ("jobs", {"timeout": "6 hours"}, "--timeout 6 hours: not a time"),
    ],
)
def test_an_engine_that_cannot_be_used_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, changes: dict[str, Any], words: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    given = {"flavor": "a100-large", "timeout": "6h", "hub": Hub("http://127.0.0.1:1"), "org": "org"} | changes
    with pytest.raises(RecipeError, match=re.escape(words)) as caught:
        engines.open_engine(name, engines.Options(("run", "toy"), tmp_path, 2, **given))
    assert caught.value.exit_code == 2


def test_slurm_without_its_controller_is_no_fault_of_a_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sbatch", "scontrol"):  # as scontrol of Slurm 22.05 says it
        path = tmp_path / name
        path.write_text("#!/bin/sh\necho 'scontrol: error: DNS' >&2\necho 'scontrol: fatal: no source' >&2\nexit 1\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match="no Slurm controller was reached") as caught:
        engines.open_engine("slurm", engines.Options(("run", "toy"), tmp_path, 2))
    assert caught.value.got == "scontrol: fatal: no source" and "--partition" not in str(caught.value)


class JobsApi:
    """/api/jobs as huggingface.co answers it; each Job works its rank at once, on a machine that is new."""

    def __init__(self, work: Callable[[int], str]) -> None:
        self.work, self.specs, self.stages = work, list[dict[str, Any]](), dict[str, tuple[str, str | None]]()

    def __call__(self, request: Proxy) -> bool | int:
        if not request.path.startswith("/api/jobs/org"):
            return False
        if request.command == "POST":
            spec = json.loads(request.body)
            job = f"{len(self.specs):024x}"
            self.specs.append(spec)
            stage = self.work(int(spec["command"][-1]))
            self.stages[job] = (stage, "Job timeout" if stage == "ERROR" else None)
        else:
            job = request.path.rpartition("/")[2]
        spec, (stage, message) = self.specs[int(job, 16)], self.stages[job]
        found = {"id": job, "createdAt": "2026-01-05T10:00:00.000Z", "dockerImage": spec["dockerImage"]} | {
            "command": spec["command"],
            "arguments": [],
            "environment": {},
            "flavor": spec["flavor"],
            "status": {"stage": stage, "message": message},
            "owner": {"id": "1", "name": "org", "type": "org"},
        }
        text = json.dumps(found).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(text)))
        request.send_header("Content-Type", "application/json")
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(text)
        return True


def test_jobs_work_ranks_that_share_a_branch(toy: Ranking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUB_SPEED_TEACHER_KEY", "a-key")
    shared, late = Path(ON_HUB), [True]

    def work(rank: int) -> str:
        if rank == 1 and late and late.pop():
            return "ERROR"
        session = toy.session()
        session.home = tmp_path / f"machine-{rank}-{len(toy.server.asked)}"
        run_rank(Ranked(toy.recipe(**ROWS), session, "seed", 2, shared), rank)
        return "COMPLETED"

    api = JobsApi(work)
    with proxied(toy.hub.endpoint, api) as address:
        words = ("run", "toy", "--only", "seed")
        options = engines.Options(words, tmp_path, 2, flavor="a100-large", timeout="6h", hub=Hub(address), org="org")
        engine = Jobs(options, look_every_s=0.01)
        ranked = toy.ranked(2, 30, shared)
        assert isinstance(ranked.place, Branch)
        with pytest.raises(HubSpeedError, match="rank 1 of 2 ended with exit code 1") as caught:
            run_all(ranked, engine)
        assert "Job timeout" in caught.value.got
        shown = told(toy.hub, "org", shared)["seed"]
        assert shown[0] and shown[0].state == "finished" and shown[1] is None
        result = run_all(toy.ranked(2, 30, shared), engine)
    assert result.record.accepted == 30 and len(toy.server.asked) == result.record.rows_in  # what was shipped is kept
    spec = api.specs[0]
    assert spec["timeoutSeconds"] == 6 * 3600 and spec["flavor"] == "a100-large"
    assert spec["secrets"]["HUB_SPEED_TEACHER_KEY"] == "a-key" and spec["secrets"]["HF_TOKEN"]
    assert "a-key" not in json.dumps([spec["command"], spec["environment"]])
    assert toy.hub.branches("dataset", "org/speed-seed") == {"main"} and told(toy.hub, "org", shared) == {}
