"""Measure the quickstart against its budget: first run, second run, memory, start-up of the command line.

    python scripts/bench_quickstart.py [--json PATH] [--home FOLDER]

Runs the installed `hub-speed` in a fresh home (unless --home names one to keep). Memory is the largest sum, over all
processes of the run, of proportional set sizes where the system tells them (Linux), else of resident set sizes.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

LIMITS = {"first run, s": 480.0, "second run, s": 15.0, "memory, GB": 3.0, "hub-speed --help, s": 0.3}


def memory(process: psutil.Process) -> int:
    """Bytes that a process and its children hold together."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            info = one.memory_full_info()
            total += getattr(info, "pss", info.rss)
        except psutil.Error:
            continue
    return total


def run(home: Path, *args: str) -> tuple[float, float, str]:
    """Seconds, largest memory in GB and output of one `hub-speed` command."""
    environment = os.environ | {"HUB_SPEED_HOME": str(home)}
    started, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        command = [sys.executable, "-m", "hub_speed", *args]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=home)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, memory(watched))
            except psutil.Error:
                break
            time.sleep(0.5)
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"hub-speed {' '.join(args)} failed:\n{text[-3000:]}")
    return seconds, peak / 1e9, text


def help_seconds(home: Path) -> float:
    """Seconds of `hub-speed --help`: the median of seven."""
    return sorted(run_help(home) for _ in range(7))[3]


def run_help(home: Path) -> float:
    """Seconds of one `hub-speed --help`."""
    started = time.perf_counter()
    subprocess.run([Path(sys.executable).with_name("hub-speed"), "--help"], cwd=home, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--home", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = args.home or Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        first, peak, text = run(home, "run", "quickstart")
        second, _, again = run(home, "run", "quickstart")
        seconds = {
            "first run, s": first,
            "second run, s": second,
            "memory, GB": peak,
            "hub-speed --help, s": help_seconds(home),
        }
        record = run(home, "show", "quickstart", "--json")[2]
    cached = len(re.findall(r"✓ \S+ .* cached", again))
    print(text[text.index("\nstage ") :] if "\nstage " in text else text)
    print(f"{'':22}{'measured':>10}{'limit':>10}{'ratio':>8}")
    for name, limit in LIMITS.items():
        print(f"{name:22}{seconds[name]:10.2f}{limit:10.2f}{seconds[name] / limit:8.2f}")
    print(f"second run: {cached} stages cached    {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    if args.json:
        found = {"measured": seconds, "limits": LIMITS, "cached": cached, "stages": json.loads(record)}
        args.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
