"""Ranks as the tasks of one array of Slurm.

A task that is preempted, or whose node dies, is requeued by Slurm and goes on from its shards. Before its time is over
a rank gets a minute to ship what it has. The folder of the logs has to be one that all nodes reach.
"""

import re
import shlex
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass

from hub_speed.engines import Options, last_words
from hub_speed.errors import RecipeError

LOOK_EVERY_S = 0.5
GRACE_S = 60  # before the end of its time, a rank is told. Assumption: enough to ship a shard
TASK = """#!/bin/sh
rm -f {logs}/exit-$SLURM_ARRAY_TASK_ID
{command} --rank "$SLURM_ARRAY_TASK_ID" &
trap "kill -TERM $!" TERM
wait $!
code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
echo $code > {logs}/exit-$SLURM_ARRAY_TASK_ID
exit $code
"""


@dataclass(frozen=True)
class Slurm:
    """Submits one array, and waits for it.

    Raises:
        RecipeError: Slurm is not here, its controller does not answer, or it allows fewer tasks in an array.
    """

    options: Options

    def __post_init__(self) -> None:
        if not shutil.which("sbatch"):
            raise RecipeError(
                "--on slurm: sbatch is not here", expected="a machine that submits to Slurm", fix="use its login node"
            )
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _settings(), re.MULTILINE)
        if found and self.options.world > int(found[1]) - 1:
            most = int(found[1]) - 1
            raise RecipeError(
                f"--ranks {self.options.world}: more tasks than Slurm allows in an array",
                expected=f"at most {most} (MaxArraySize)",
                fix=f"--ranks {most}",
            )

    def run(self, ranks: list[int], stop: threading.Event) -> dict[int, int]:
        """Start these ranks and wait until all have ended; returns their exit codes."""
        logs = self.options.logs.absolute()
        logs.mkdir(parents=True, exist_ok=True)
        command = shlex.join([sys.executable, "-m", "hub_speed", *self.options.arguments])
        script = logs / "task.sh"
        script.write_text(TASK.format(logs=shlex.quote(str(logs)), command=command), "utf-8")
        flags = [f"--array={','.join(map(str, ranks))}", f"--output={logs}/rank-%a.log", "--open-mode=append"]
        job = _called("sbatch", "--parsable", "--requeue", "--ntasks=1", *flags, *self._flags(), str(script))
        name = job.strip().partition(";")[0]
        try:
            while _called("squeue", "--noheader", "--jobs", name, fails=True) and not stop.wait(LOOK_EVERY_S):
                pass
        finally:
            with suppress(RecipeError):
                _called("scancel", "--full", "--signal=TERM" if stop.is_set() else "--quiet", name)
        while stop.is_set() and _called("squeue", "--noheader", "--jobs", name, fails=True):
            threading.Event().wait(LOOK_EVERY_S)
        return {rank: self._code(rank) for rank in ranks}

    def _flags(self) -> list[str]:
        """What the user asks for."""
        given = self.options
        found = [f"--partition={given.partition}"] if given.partition else []
        found += [f"--gpus-per-node={given.gpus_per_rank}", "--nodes=1"] if given.gpus_per_rank else []
        if given.timeout:
            found += [f"--time={max(1, given.seconds // 60)}", f"--signal=B:TERM@{GRACE_S}"]
        return found

    def _code(self, rank: int) -> int:
        path = self.options.logs / f"exit-{rank}"
        with suppress(OSError, ValueError):
            return int(path.read_text("utf-8"))
        return 1

    def last_words(self, rank: int) -> str:
        """Where the messages of a rank are, and how they end."""
        return last_words(self.options.logs / f"rank-{rank}.log")


def _settings() -> str:
    """The settings of the cluster.

    Raises:
        RecipeError: the controller does not answer; no flag could change that.
    """
    done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RecipeError(
            "--on slurm: no Slurm controller was reached",
            expected="a cluster whose slurmctld answers this machine",
            got=done.stderr.strip().rpartition("\n")[2][:300],
            fix="try sinfo: start slurmctld, or name the slurm.conf of the cluster in SLURM_CONF; or use --on local",
        )
    return done.stdout


def _called(*command: str, fails: bool = False) -> str:
    """What a program of Slurm prints; empty where it fails and may.

    Raises:
        RecipeError: it fails; what it says is in the message.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and not fails:
        raise RecipeError(
            f"--on slurm: {command[0]} refuses",
            got=done.stderr.strip()[:300],
            fix="change what it names: --partition, --gpus-per-rank, --timeout or --ranks",
        )
    return "" if done.returncode else done.stdout
