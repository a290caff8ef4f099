"""Rows a second and processor time a row, of one process and of several ranks, on one endpoint that answers slowly.

    python scripts/bench_ranks.py [--world 4] [--rows 1200] [--in-flight 32] [--mean-ms 2000]

The endpoint is `fake_endpoint.py`; the rows are the seed rows of the quickstart. The rate is that of the middle of the
rows (20% to 80%), when all ranks are at work; processor time is that of all processes, starts included.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ANSWER = {"S1": "this is the first text", "S2": "this is another text", "S3": "this is one more"}


def stats(url: str) -> dict[str, float]:
    """What the endpoint has counted."""
    with urllib.request.urlopen(f"{url}/stats", timeout=60) as answer:
        found: dict[str, float] = json.load(answer)
        return found


def run(home: Path, fields: dict[str, object], *flags: str) -> "subprocess.Popen[bytes]":
    """Start `hub-speed run quickstart`."""
    sets = [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "hub_speed", "run", "quickstart", *sets, *flags]
    env = os.environ | {"HUB_SPEED_HOME": str(home)}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rate(process: "subprocess.Popen[bytes]", url: str, rows: int) -> float:
    """Rows a second from 20% to 80% of the rows."""
    seen: list[tuple[float, float]] = []
    while process.poll() is None:
        seen.append((time.monotonic(), stats(url)["asked"] - stats(url)["open"]))
        time.sleep(0.2)
    middle = [point for point in seen if 0.2 * rows <= point[1] <= 0.8 * rows]
    return (middle[-1][1] - middle[0][1]) / (middle[-1][0] - middle[0][0])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", type=int, default=4)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--mean-ms", type=float, default=2000.0)
    args = parser.parse_args()
    fields = {"brainstorm.topics": "quickstart-topics", "mixture": "{sts: 1}", "seed.rows": args.rows}
    fields |= {"runtime.in_flight": args.in_flight, "runtime.max_reject_rate": 1.0}
    with tempfile.TemporaryDirectory() as folder:
        base, answer = Path(folder) / "base", Path(folder) / "answer.json"
        answer.write_text(json.dumps(ANSWER), "utf-8")
        assert run(base, fields, "--only", "brainstorm").wait() == 0
        found = {}
        for name, flags in (("one process", []), (f"{args.world} ranks", ["--ranks", str(args.world)])):
            home = Path(folder) / name.replace(" ", "-")
            shutil.copytree(base, home, symlinks=True)
            fake = Path(__file__).with_name("fake_endpoint.py")
            command = [sys.executable, str(fake), "--answer", str(answer), "--mean-ms", str(args.mean_ms)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None and server.stdin is not None
                url = f"http://127.0.0.1:{server.stdout.readline().split()[1]}"
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                # All answers are alike, so the stage ends in an error: after everything has been asked.
                process = run(home, fields, "--only", "seed", "--endpoint", f"teacher={url}", *flags)
                found[name] = rate(process, url, args.rows)
                after, counted = resource.getrusage(resource.RUSAGE_CHILDREN), stats(url)
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                server.stdin.close()
            per_row = f"{1000 * used / counted['asked']:.1f} ms of processor time a row"
            open_ = f"at most {counted['most_open']:.0f} open"
            print(f"{name}: {counted['asked']:.0f} rows, {found[name]:.1f} rows/s, {open_}, {per_row}", flush=True)
        one, many = found.values()
        print(f"{many / one:.3f} of the rate of one process, with the same {args.in_flight} requests at once")


if __name__ == "__main__":
    main()
