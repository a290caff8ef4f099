"""Kill ranks, their machines and their publisher at random moments, and look whether a row is lost or there twice.

    python scripts/kill_ranks.py [--kills 100] [--seed 1] [--world 3] [--rows 90]

Each trial makes the seed rows of the quickstart with ranks on this machine, on an embedded Hub of its own, by the
offline teacher. Processes are ended by SIGKILL after a time that is drawn; "machine" kills all at once and removes the
ledgers of the ranks, so that only the shared folder is left. They are started again until the stage is published. What
is published has to be, byte for byte, what one process makes.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hub_speed import api
from hub_speed.errors import HubSpeedError
from hub_speed.generation import shards
from hub_speed.parquet import read_parquet

LONGEST_S = 900.0  # a process that takes longer hangs


def forked(work: Callable[[], None], log: Path) -> int:
    """Start work in a process of its own; returns its id. Much faster than a new interpreter."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with log.open("a", encoding="utf-8") as messages:
            os.dup2(messages.fileno(), 1)
            os.dup2(messages.fileno(), 2)
        work()
        code = 0
    except HubSpeedError as error:
        os.write(2, f"{error}\n".encode())
        code = error.exit_code
    finally:
        os._exit(code)


def ended(child: int, kill_after_s: float | None) -> int | None:
    """The exit code of a process; None if it was killed before it ended."""
    until = time.monotonic() + (LONGEST_S if kill_after_s is None else kill_after_s)
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if kill_after_s is None:
        raise SystemExit(f"a process hangs after {LONGEST_S:.0f} s")
    return None


class Trial:
    """One home folder, whose stage is made by ranks or by one process."""

    def __init__(self, home: Path, world: int, url: str, rows: int) -> None:
        self.home, self.world, self.url = home, world, url
        self.fields = {"seed.rows": rows, "brainstorm.topics": "quickstart-topics", "runtime.max_reject_rate": 1.0}
        self.log = home.with_suffix(".log")

    def run(self, how: Callable[..., object], *args: object) -> Callable[[], None]:
        """A function of a recipe and a Hub, to be called in a process of its own."""

        def work() -> None:
            recipe = api.load_recipe("quickstart", set=self.fields)
            with api.open_hub(home=self.home) as hub:
                how(recipe, hub, *args, endpoints=[f"teacher={self.url}"])

        return work

    def rank(self, rank: int) -> int:
        """Start a rank."""
        return forked(self.run(ranked, self.world, lambda stage: api.run_rank(stage, rank)), self.log)

    def publisher(self) -> int:
        """Start the publisher."""
        return forked(self.run(ranked, self.world, api.run_ranks), self.log)

    def published(self) -> tuple[dict[str, str], list[str]]:
        """The checksums of the published files, and the ids of all rows."""
        out = self.home.with_suffix(".txt")

        def read() -> None:
            from hub_speed.record import Ref

            with api.open_hub(home=self.home) as hub:
                head = hub.hub.head("dataset", "speed-demo/speed-seed")
                assert isinstance(head, Ref)
                folder = hub.hub.fetch(head) / "data"
                files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*.parquet"))}
                lines = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in files.items()]
                ids = [row["id"] for row in read_parquet(folder, ["id"])]
                tags = hub.hub.tags("dataset", "speed-demo/speed-seed")
                assert len([tag for tag in tags if tag.startswith("run-")]) == 1, tags
                out.write_text("\n".join([*lines, "", *ids]), "utf-8")

        assert ended(forked(read, self.log), None) == 0, self.log.read_text("utf-8")[-2000:]
        lines, _, ids = out.read_text("utf-8").partition("\n\n")
        return dict(line.split(" ") for line in lines.splitlines()), ids.splitlines()


def one_process(recipe: Any, hub: Any, only: str, **more: Any) -> None:
    """A stage without ranks."""
    api.run(recipe, hub, only=only, **more)


def ranked(recipe: Any, hub: Any, world: int, work: Callable[[Any], object], **more: Any) -> None:
    """A part of the stage with ranks."""
    with api.open_ranks(recipe, hub, "seed", world, **more) as stage:
        work(stage)


def kill_until_done(trial: Trial, draws: random.Random, life_s: float, killed: Counter[str]) -> int:
    """Work a stage with ranks, killing now and then; returns how many waves and turns it took."""
    turns = 0
    while True:
        turns += 1
        if draws.random() < 0.5:
            kill_all(trial, draws.uniform(0.05, life_s), killed, disks=draws.random() < 0.5)
        children = [trial.rank(rank) for rank in range(trial.world)]
        for child in children:
            dies = draws.random() < 0.75
            code = ended(child, draws.uniform(0.05, life_s) if dies else None)
            killed["rank"] += code is None
            assert code in (None, 0), (code, trial.log.read_text("utf-8")[-2000:])
        dies = draws.random() < 0.75
        code = ended(trial.publisher(), draws.uniform(0.05, life_s) if dies else None)
        killed["publisher"] += code is None
        assert code in (None, 0, 9), (code, trial.log.read_text("utf-8")[-2000:])
        if code == 0:
            return turns


def kill_all(trial: Trial, after_s: float, killed: Counter[str], *, disks: bool) -> None:
    """All ranks of a machine at once; with its disk, their ledgers are gone."""
    children = [trial.rank(rank) for rank in range(trial.world)]
    time.sleep(after_s)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if disks:
        for folder in (trial.home / "work").rglob("seed-*-rank-*"):
            shutil.rmtree(folder, ignore_errors=True)
    killed["machine with its disk" if disks else "machine"] += 1


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--world", type=int, default=3)
    parser.add_argument("--rows", type=int, default=90)
    args = parser.parse_args()
    shards.ROWS_PER_SHARD = 7  # several shards a rank
    draws, killed, turns = random.Random(args.seed), Counter[str](), 0
    teacher = subprocess.Popen(
        [sys.executable, "-m", "hub_speed.quickstart.teacher"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert teacher.stdout is not None
        url = f"http://127.0.0.1:{teacher.stdout.readline().split()[1]}"
        with tempfile.TemporaryDirectory() as folder:
            base, one = Path(folder) / "base", Trial(Path(folder) / "one", 1, url, args.rows)
            first = Trial(base, 1, url, args.rows)
            assert ended(forked(first.run(one_process, "brainstorm"), first.log), None) == 0
            shutil.copytree(base, one.home, symlinks=True)
            started = time.monotonic()
            assert ended(forked(one.run(one_process, "seed"), one.log), None) == 0
            life_s = 0.7 * (time.monotonic() - started)
            wanted, ids = one.published()
            print(f"one process: {len(ids)} rows in {life_s / 0.7:.1f} s", flush=True)
            trials = 0
            while killed.total() < args.kills:
                trials += 1
                trial = Trial(Path(folder) / f"trial-{trials}", args.world, url, args.rows)
                shutil.copytree(base, trial.home, symlinks=True)
                turns += kill_until_done(trial, draws, life_s, killed)
                found, have = trial.published()
                lost, doubled = len(set(ids) - set(have)), len(have) - len(set(have))
                assert found == wanted and not lost and not doubled, (lost, doubled, found, wanted)
                left = [*(trial.home / "ranks").rglob("*.parquet"), *(trial.home / "work").rglob("*.sqlite")]
                assert not left, left
                print(f"trial {trials}: {killed.total()} kills {dict(killed)}, the same files", flush=True)
                shutil.rmtree(trial.home)
        print(f"{killed.total()} kills in {trials} trials, {turns} turns: 0 lost, 0 doubled, the same files")
    finally:
        teacher.kill()
        teacher.communicate()


if __name__ == "__main__":
    main()
