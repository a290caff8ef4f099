"""A real Slurm of one node on loopback, in a folder of its own: munged, slurmctld, slurmd."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from running import HANG_S, free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
CONFIG = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
MaxArraySize=9
MinJobAge=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def is_here() -> bool:
    """Whether its programs are installed, and this user may start them."""
    return os.geteuid() == 0 and all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in PROGRAMS)


@contextmanager
def slurm(folder: Path) -> Iterator[Path]:
    """Runs until the end of the block; yields its configuration, for SLURM_CONF."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key, config, host = folder / "munge.key", folder / "slurm.conf", socket.gethostname().partition(".")[0]
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    ports = {"controller": free_port(), "node": free_port()}
    config.write_text(CONFIG.format(host=host, folder=folder, **ports))
    env = os.environ | {"SLURM_CONF": str(config), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    places = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    commands = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *places],
        ["slurmctld", "-D", "-f", str(config)],
        ["slurmd", "-D", "-f", str(config), "-N", host],
    ]
    with ExitStack() as stack:
        for command in commands:
            log = stack.enter_context((folder / f"{command[0]}.out").open("wb"))
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            stack.callback(_end, process)
            if command[0] == "munged":
                _wait(lambda: (folder / "munge.socket").exists(), folder)
        _wait(lambda: _is_idle(env), folder)
        yield config


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(HANG_S)


def _is_idle(env: dict[str, str]) -> bool:
    done = subprocess.run(["sinfo", "-h", "-o", "%T"], env=env, capture_output=True, text=True, check=False)
    return done.stdout.strip() == "idle"


def _wait(is_ready: "object", folder: Path) -> None:
    end = time.monotonic() + HANG_S
    while not is_ready():  # type: ignore[operator]
        assert time.monotonic() < end, [path.read_text("utf-8", "replace")[-500:] for path in folder.glob("*.out")]
        time.sleep(0.1)
