"""Steps a second of a small model, on a quiet machine and beside busy processes, for several settings of OpenMP.

    python scripts/bench_threads.py [--json PATH] [--rounds 3] [--seconds 4] [--busy N]

The model has the shape of the package's tiny base. A step of `train` is one of training, on 4 rows of 200 tokens; a
step of `write` is 96 answers of 8 tokens by the embedded server's engine. Each number is the median over rounds; a
round measures every setting, quiet and beside N busy loops (as many as there are cores), each in its own process.

OpenMP threads that wait for each other spin: they keep a core that somebody else could use. PyTorch brings libgomp on
Linux, where OMP_WAIT_POLICY and GOMP_SPINCOUNT say how long they spin, and libomp on macOS, where KMP_BLOCKTIME does.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hub_speed

BASE = Path(hub_speed.__file__).parent / "quickstart" / "tiny_base"
OPENMP = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    **{f"spin {count:,}": {"GOMP_SPINCOUNT": str(count)} for count in (1_000, 10_000, 100_000)},
}
if sys.platform == "darwin":
    SETTINGS |= {f"block {ms} ms": {"KMP_BLOCKTIME": str(ms)} for ms in (0, 1)}
WORK = ("train", "write")


def steps_per_second(work: str, seconds: float) -> float:
    """The rate in this process, after a warm-up."""
    step = training() if work == "train" else writing()
    step()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        step()
        count += 1
    return count / (time.perf_counter() - started)


def training() -> Callable[[], None]:
    """One step of training."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(BASE, trust_remote_code=False)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randint(3, model.config.vocab_size, (4, 200))

    def step() -> None:
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def writing() -> Callable[[], None]:
    """96 answers of the embedded server's engine."""
    from hub_speed.llm.embedded_server import Ask, Engine, load

    engine = Engine(*load(BASE), batch=96)
    return lambda: engine.submit(Ask([1, 5, 9], 96, 1.0, 1.0, 8, 0, ())).result()


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that use a core each, until the block ends."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measured(work: str, environment: dict[str, str], seconds: float) -> float:
    """The rate in a process with these variables, and none of the caller's."""
    own = {name: value for name, value in os.environ.items() if name not in OPENMP} | environment
    command = [sys.executable, __file__, "--work", work, "--seconds", str(seconds)]
    return float(subprocess.run(command, env=own, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    """Measure, print a table, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        print(steps_per_second(asked.work, asked.seconds), flush=True)
        os._exit(0)  # the engine's thread never ends by itself
    found: dict[tuple[str, str, int, str], list[float]] = {}
    for _ in range(asked.rounds):
        for state, loops in (("quiet", 0), ("busy", asked.busy)):
            with busy(loops):
                for work, setting, threads in runs():
                    variables = SETTINGS[setting] | {"OMP_NUM_THREADS": str(threads)}
                    rate = measured(work, variables, asked.seconds)
                    found.setdefault((work, setting, threads, state), []).append(rate)
                    sys.stderr.write(f"{state} {work} {setting}, {threads} threads: {rate:.2f}\n")
    medians = {key: statistics.median(rates) for key, rates in found.items()}
    print(f"steps a second; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"quiet: nothing else is started; busy: beside {asked.busy} loops")
    print(f"{'work':6}{'setting':14}{'threads':>8}{'quiet':>8}{'of default':>12}{'busy':>8}{'of default':>12}")
    for work, setting, threads in runs():
        line = f"{work:6}{setting:14}{threads:>8}"
        for state in ("quiet", "busy"):
            rate = medians[work, setting, threads, state]
            line += f"{rate:>8.2f}{rate / medians[work, 'default', 2, state]:>11.2f}x"
        print(line)
    if asked.json:
        lines = [
            {"work": work, "setting": setting, "threads": threads, "state": state, "rates": rates}
            for (work, setting, threads, state), rates in found.items()
        ]
        asked.json.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")


def runs() -> list[tuple[str, str, int]]:
    """Work, setting and threads of what is measured; one thread waits for nobody, so one setting is enough for it."""
    return [(work, name, n) for work in WORK for name in SETTINGS for n in (2, 1) if n > 1 or name == "default"]


if __name__ == "__main__":
    main()
