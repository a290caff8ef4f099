"""Ranks and their publisher, without a Hub: whatever their number and what stops them, the rows are those of one."""

import json
import random
import shutil
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
from fake_openai import Asked, FakeOpenAI
from running import HANG_S
from stage_run import Run

from hub_speed import rows
from hub_speed.errors import NoSpace, RanksLeft, RecipeError, StageError, Stopped
from hub_speed.generation import shards
from hub_speed.generation.ledger import Ledger
from hub_speed.shared import About, Finished, Folder, Progress, RankDone, Share, Wave, folder_of

TASKS = [{"id": f"t{i}", "task_type": "sts", "task": "Find it", "topic": f"Arts/Topic_{i}"} for i in range(40)]
PAIRS = [task | {"id": f"p{i}", "task_type": "bitext"} for i, task in enumerate(TASKS)]
MIX = {"mixture": {"sts": 3, "bitext": 1}, "languages": {"English": 1, "German": 1}}


def answer(asked: Asked) -> str:
    """Always the same for one prompt: two of five are no JSON, and some repeat others."""
    name = zlib.crc32(asked.prompt.encode())
    words = [f"this is {word} {name % 97}" for word in ("the first text", "another text", "one more")]
    return "no" if name % 5 < 2 else json.dumps(dict(zip(("S1", "S2", "S3"), words, strict=True)))


def a_run(folder: Path, server: FakeOpenAI) -> Run:
    runtime = {"in_flight": 8, "reask": False, "max_reject_rate": 0.9}
    run = Run("seed", folder, server, seed={"rows": 40}, runtime=runtime, checks="form", **MIX)
    return run.give("brainstorm", rows.TaskRow, *TASKS, *PAIRS)


class Ranks:
    """All ranks of one stage, and its publisher."""

    def __init__(self, folder: Path, server: FakeOpenAI, world: int) -> None:
        self.folder, self.server, self.world = folder, server, world
        self.place = Folder(folder / "shared")
        self.place.path.mkdir(parents=True)

    def share(self, rank: int | None = None) -> Share:
        return Share(self.place, self.world, "f", rank)

    def work(self, rank: int, stop_after: int | None = None) -> Run:
        """One rank asks for its rows of this wave; it may be stopped after so many answers."""
        run, share = a_run(self.folder / folder_of(rank), self.server), self.share(rank)
        run.ctx.share, before, ended = share, len(self.server.asked), threading.Event()

        def until(asked: Asked) -> str:
            if stop_after is not None and len(self.server.asked) - before >= stop_after:
                run.ctx.stop.set()
                ended.wait(HANG_S)  # no answer comes any more: the rank cannot be done before it sees the stop
            return answer(asked)

        self.server.answer = until
        with Ledger(run.ctx.work, {}) as ledger:
            ledger.note_asked(share.wave().asked)
        with pytest.raises(RankDone if stop_after is None else Stopped):
            run.build()
        ended.set()
        if stop_after is None:
            with Ledger(run.ctx.work, {}) as ledger:
                mark = Finished(wave=share.wave().number, fingerprint="f", shards=ledger.shards(), seconds=1.0)
            share.save(f"{folder_of(rank)}/finished.json", mark)
        return run

    def publish(self) -> Run:
        run = a_run(self.folder / "publisher", self.server)
        run.ctx.share = self.share()
        run.build()
        return run


def files(run: Run) -> dict[str, bytes]:
    return {str(path.relative_to(run.ctx.out)): path.read_bytes() for path in sorted(run.ctx.out.rglob("data/**/*.*"))}


def lines(run: Run) -> dict[str, dict[str, Any]]:
    return {name: entry | {"latency_s": 0.0} for name, entry in run.ledger().items()}


@pytest.fixture
def one(server: FakeOpenAI, tmp_path: Path) -> Run:
    """The stage as one process makes it."""
    server.answer = answer
    run = a_run(tmp_path / "one", server)
    run.build()
    assert run.record.rejected.keys() >= {"bad_json", "duplicate"} and run.record.rows_in > 50
    return run


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 5)


@pytest.mark.parametrize("world", [1, 2, 5])
def test_what_ranks_make_is_byte_for_byte_that_of_one_process(
    server: FakeOpenAI, tmp_path: Path, one: Run, world: int
) -> None:
    """Stopped now and then; and every other time on a new machine, which has nothing but the shared place."""
    draws, ranks, before = random.Random(world), Ranks(tmp_path / "many", server, world), len(server.asked)
    waves = stops = 0
    while True:
        waves += 1
        for rank in range(world):
            if draws.random() < 0.5 and waves == 1:
                ranks.work(rank, stop_after=draws.randint(1, 8))
                stops += 1
                if draws.random() < 0.5:
                    shutil.rmtree(tmp_path / "many" / folder_of(rank) / "work")
            with pytest.raises(RanksLeft, match="have not finished"):
                ranks.publish()
            ranks.work(rank)
        try:
            many = ranks.publish()
            break
        except RanksLeft as left:
            assert "is needed" in left.where
    assert files(many) == files(one) and len(files(one)) == 2
    assert lines(many) == lines(one)
    assert waves > 1 and many.record.ranks and many.record.ranks.world == world
    assert many.record.ranks.waves == waves
    most_lost = stops * (8 + 5 + 8)  # in flight, in no shard yet
    assert len(server.asked) - before <= many.record.rows_in + most_lost


def test_a_publisher_that_is_killed_goes_on(
    server: FakeOpenAI, tmp_path: Path, one: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two shards, and between the decision on a wave and its file."""
    ranks = Ranks(tmp_path / "many", server, 2)
    for rank in range(2):
        ranks.work(rank)
    read, left = shards.read_shard, [3, 2, 10**9]

    def dying(share: Share, name: str) -> list[dict[str, Any]]:
        left[0] -= 1
        if not left[0]:
            left.pop(0)
            raise KeyboardInterrupt
        return read(share, name)

    monkeypatch.setattr(shards, "read_shard", dying)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            ranks.publish()
    with pytest.raises(RanksLeft, match="wave 2 is needed"):
        ranks.publish()
    (ranks.place.path / "wave.json").unlink()  # as if the kill had come before it
    with pytest.raises(RanksLeft, match="wave 2 is needed"):
        ranks.publish()
    while True:
        for rank in range(2):
            ranks.work(rank)
        try:
            assert files(ranks.publish()) == files(one)
            return
        except RanksLeft:
            pass


def test_what_is_wrong_with_shards_is_said(server: FakeOpenAI, tmp_path: Path) -> None:
    ranks = Ranks(tmp_path, server, 2)
    for rank in range(2):
        ranks.work(rank)
    share, place = ranks.share(), ranks.place
    mark = share.finished(0)
    assert mark and len(mark.shards) > 2
    first, second = mark.shards[:2]

    def publish_with(match: str, **changes: Any) -> None:
        share.save("rank-0000/finished.json", mark.model_copy(update=changes))
        with pytest.raises(StageError, match=match):
            ranks.publish()
        shutil.rmtree(tmp_path / "publisher")

    publish_with("worked on another recipe", fingerprint="g")
    publish_with("is missing", shards=mark.shards[1:])
    strange = share.finished(1)
    assert strange
    publish_with("rows of another rank", shards=[*mark.shards, strange.shards[0]])
    twice = second.replace("00001-", "00099-")
    shutil.copy(place.path / second, place.path / twice)
    publish_with("another shard holds as well", shards=[*mark.shards, twice])
    whole = (place.path / first).read_bytes()
    (place.path / first).write_bytes(whole[:-1] + b"x")
    publish_with("its checksum is another")
    (place.path / first).unlink()
    publish_with("it is missing")
    (place.path / second).write_bytes(b"x")
    asked = len(server.asked)
    ranks.work(0)  # the rank has the rows of both in its ledger, and ships them again
    assert len(server.asked) == asked
    with pytest.raises(RanksLeft, match="wave 2"):
        ranks.publish()


def test_a_shared_folder_that_is_lost_ends_a_rank_and_loses_no_row(server: FakeOpenAI, tmp_path: Path) -> None:
    ranks = Ranks(tmp_path, server, 1)
    ranks.place.path.rename(tmp_path / "elsewhere")
    run = a_run(tmp_path / folder_of(0), server)
    run.ctx.share, server.answer = ranks.share(0), answer
    with pytest.raises(NoSpace, match="the shared folder cannot be used"):
        run.build()
    assert not ranks.place.path.exists()  # nothing is written where a mount has been
    (tmp_path / "elsewhere").rename(ranks.place.path)
    asked = len(server.asked)
    assert asked < 40  # the first shard says it, and not only the end
    ranks.work(0)
    assert len(server.asked) < 40 + asked  # some of the rows were in the ledger


def test_a_place_belongs_to_one_run(tmp_path: Path) -> None:
    share, never = Share(Folder(tmp_path), 4, "f", 0), threading.Event()
    about = About(stage="seed", recipe="r", fingerprint="f", identity={"a": 1}, world=4, hub_speed="1")
    share.begin(about, never)
    share.begin(about, never)
    share.save("wave.json", Wave())
    with pytest.raises(RecipeError, match="ranks of another run work here") as caught:
        share.begin(about.model_copy(update={"fingerprint": "g", "world": 5}), never)
    assert caught.value.expected == "fingerprint g, world 5" and caught.value.got == "fingerprint f, world 4"


def test_endpoints_are_shared_by_the_ranks_that_are_left(tmp_path: Path) -> None:
    share = Share(Folder(tmp_path), 4, "f", 0)
    assert share.part(64) == 16
    for rank in (1, 2):
        share.save(f"{folder_of(rank)}/finished.json", Finished(wave=1, fingerprint="f", shards=[]))
    share.others = len(share.unfinished(1))
    assert share.part(64) == 32
    share.save("wave.json", Wave(number=2))
    assert share.unfinished(2) == [0, 1, 2, 3]
    assert share.load("none.json", Progress) is None
