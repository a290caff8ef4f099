"""Ranks as Jobs of Hugging Face: one machine each, which has nothing but the Hub.

The shared place is a branch of the dataset repository, so a Job that is started again goes on from its shards. Keys are
passed as secrets of the Job. A Job is ended when its time is over, by default after half an hour, so a time is asked
for; whatever it had shipped is kept.
"""

import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

import hub_speed
from hub_speed.engines import Options
from hub_speed.errors import RecipeError, did_you_mean
from hub_speed.hub import JOB_MACHINES, Hub

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"  # the image of `run_uv_job`
LOOK_EVERY_S = 10.0
ATTEMPTS = 3  # of a Job whose machine is gone. Assumption
_SECRET = re.compile(r"HUB_SPEED_\w+_KEY|OPENAI_API_KEY")
_PLAIN = re.compile(r"HUB_SPEED_\w+_URL")
ENDED = {"COMPLETED": 0, "CANCELED": 1, "ERROR": 1, "DELETED": 1}
"""The stage of a Job that has ended → its exit code."""


@dataclass
class Jobs:
    """Starts one Job for each rank.

    Raises:
        RecipeError: there is no such machine, no time is given, or the Hub is one of this machine alone.
    """

    options: Options
    look_every_s: float = LOOK_EVERY_S
    _words: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = self.options
        if given.hub is None:
            raise RecipeError(
                "--on jobs: a Job does not reach the Hub of this machine",
                expected="--hub https://huggingface.co --shared hub",
            )
        self._hub: Hub = given.hub
        if given.flavor not in JOB_MACHINES:
            raise RecipeError(
                f"--flavor {given.flavor or '(none)'}: there is no such machine",
                expected=f"one of {', '.join(JOB_MACHINES)}",
                fix=did_you_mean(given.flavor, JOB_MACHINES),
            )
        if not given.timeout:
            raise RecipeError("--on jobs: for how long?", expected="--timeout 6h; else a Job is ended after 30 minutes")
        self._seconds = given.seconds

    def run(self, ranks: list[int], stop: threading.Event) -> dict[int, int]:
        """Start these ranks and wait until all have ended; returns their exit codes."""
        started = {self._start(rank): rank for rank in ranks}
        codes: dict[int, int] = {}
        while len(codes) < len(started):
            for job, rank in started.items():
                if rank in codes:
                    continue
                stage, message = self._hub.job(self.options.org, job)
                if stage in ENDED:
                    codes[rank] = ENDED[stage]
                    self._words[rank] = f"Job {job}: {stage} {message}".strip()
            if stop.wait(self.look_every_s):
                for job in (job for job, rank in started.items() if rank not in codes):
                    self._hub.cancel_job(self.options.org, job)
                stop = threading.Event()  # they are told once
        return codes

    def _start(self, rank: int) -> str:
        """Start the Job of a rank; returns its id. A recipe of the user's goes along in the environment."""
        command, recipe, *flags = self.options.arguments
        path, found = Path(recipe), {name: os.environ[name] for name in os.environ if _PLAIN.fullmatch(name)}
        if path.is_file():
            found["RECIPE"], recipe = path.read_text("utf-8"), f"/tmp/{path.name}"
        program = ["uvx", "--from", f"hub-speed[train]=={hub_speed.__version__}"]
        program += [] if self.options.flavor.startswith("cpu-") else ["--with", "vllm"]
        words = [*program, "hub-speed", command, recipe, *flags, "--rank", str(rank)]
        if path.is_file():
            words = ["sh", "-c", f'printf %s "$RECIPE" > {recipe} && exec "$@"', "sh", *words]
        return self._hub.start_job(
            self.options.org,
            IMAGE,
            words,
            environment=found,
            secrets={name: os.environ[name] for name in os.environ if _SECRET.fullmatch(name)},
            flavor=self.options.flavor,
            seconds=self._seconds,
            attempts=ATTEMPTS,
            name=f"hub-speed-rank-{rank}",
        )

    def last_words(self, rank: int) -> str:
        """How the Job of a rank has ended."""
        return self._words.get(rank, "")
