"""How fast the embedded Hub is for unmodified clients, beside the same work on plain files, and what memory it takes.

    python scripts/bench_hub.py [--mb 1000] [--rows 1000000] [--files 1000] [--json PATH]

The Hub runs in a process of its own, and so does each client, with an empty cache; starting and importing are not
counted. `plain` is the same bytes without a Hub: files copied and flushed to the disk, or `datasets` reading the local
parquet files. Of the hundred commits it is one client that makes all of them. `server MB` is the largest resident
memory of the Hub's process until then (Linux only).
"""

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hub_speed.localhub import LocalHub

ROWS_PER_FILE = 200_000


def make_inputs(folder: Path, mb: int, rows: int, files: int) -> None:
    """Many small files, a large one, and rows of about 200 bytes."""
    for name in ("small", "large", "rows"):
        (folder / name).mkdir()
    for number in range(files):
        (folder / "small" / f"{number:05d}.txt").write_bytes(os.urandom(500).hex().encode())
    with (folder / "large" / "model.safetensors").open("wb") as file:
        for _ in range(mb):
            file.write(os.urandom(1_000_000))
    words = random.Random(0).choices([os.urandom(3).hex() for _ in range(5000)], k=100_000)
    for start in range(0, rows, ROWS_PER_FILE):
        numbers = range(start, min(start + ROWS_PER_FILE, rows))
        texts = [" ".join(words[i * 7 % 99_000 :][:25]) for i in numbers]
        table = pa.table({"id": [f"row-{i}" for i in numbers], "text": texts})
        path = folder / "rows" / f"train-{start // ROWS_PER_FILE:05d}.parquet"
        pq.write_table(table, path, row_group_size=50_000, compression="zstd", write_page_index=True)


# --- what is measured, each in a process of its own -------------------------------------------------------------------


def commit(folder: Path) -> float:
    """One commit of all small files."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    api.create_repo("bench/small", repo_type="dataset")
    operations = [CommitOperationAdd(path.name, path) for path in sorted((folder / "small").iterdir())]
    return timed(lambda: api.create_commit("bench/small", operations, commit_message="all", repo_type="dataset"))


def upload(folder: Path) -> float:
    """The large file, from the disk to the Hub's disk."""
    from huggingface_hub import HfApi

    HfApi().create_repo("bench/large")
    path = folder / "large" / "model.safetensors"
    return timed(lambda: HfApi().upload_file(path_or_fileobj=path, path_in_repo=path.name, repo_id="bench/large"))


def download(folder: Path) -> float:
    """The large file, into an empty cache."""
    from huggingface_hub import hf_hub_download

    return timed(lambda: hf_hub_download("bench/large", "model.safetensors"))


def publish_rows(folder: Path) -> float:
    """All parquet files, in one commit."""
    from huggingface_hub import HfApi

    HfApi().create_repo("bench/rows", repo_type="dataset")
    rows = folder / "rows"
    return timed(lambda: HfApi().upload_folder(folder_path=rows, repo_id="bench/rows", repo_type="dataset"))


def load(folder: Path) -> float:
    """`load_dataset` into an empty cache."""
    from datasets import load_dataset

    return timed(lambda: load_dataset("bench/rows", split="train"))


def first_row(folder: Path) -> float:
    """The first row of a stream."""
    from datasets import load_dataset

    imported()
    return timed(lambda: next(iter(load_dataset("bench/rows", split="train", streaming=True))))


def load_plain(folder: Path) -> float:
    """The same from the local files."""
    from datasets import load_dataset

    return timed(lambda: load_dataset("parquet", data_files=f"{folder}/rows/*.parquet", split="train"))


def first_row_plain(folder: Path) -> float:
    """The same from the local files."""
    from datasets import load_dataset

    imported()
    files = f"{folder}/rows/*.parquet"
    return timed(lambda: next(iter(load_dataset("parquet", data_files=files, split="train", streaming=True))))


def commit_at_once(folder: Path, clients: int = 20) -> float:
    """A hundred commits to one repository by twenty clients, each of a file of its own."""
    from huggingface_hub import HfApi

    repo = f"bench/by-{clients}"
    HfApi().create_repo(repo, repo_type="dataset")

    def client(number: int) -> None:
        for path in range(number, 100, clients):
            HfApi().upload_file(path_or_fileobj=b"x", path_in_repo=f"{path}.txt", repo_id=repo, repo_type="dataset")

    def work() -> None:
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(client, range(clients)))

    took = timed(work)
    if len(HfApi().list_repo_commits(repo, repo_type="dataset")) != 101:
        raise SystemExit("a commit is missing")
    return took


def copy(part: str) -> Callable[[Path], float]:
    """Measures a copy of a folder of inputs, flushed to the disk."""

    def work(folder: Path) -> None:
        (folder / "copy").mkdir()
        for path in (folder / part).iterdir():
            with path.open("rb") as source, (folder / "copy" / path.name).open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
        shutil.rmtree(folder / "copy")

    return lambda folder: timed(lambda: work(folder))


STEPS: dict[str, tuple[Callable[[Path], float], Callable[[Path], float]]] = {
    "commit of small files": (commit, copy("small")),
    "large file up": (upload, copy("large")),
    "large file down": (download, copy("large")),
    "rows up": (publish_rows, copy("rows")),
    "load_dataset": (load, load_plain),
    "first streamed row": (first_row, first_row_plain),
    "100 commits, 20 clients": (commit_at_once, lambda folder: commit_at_once(folder, 1)),
}


def imported() -> None:
    """Let `datasets` import what it does not import at once."""
    from datasets import Dataset

    next(iter(Dataset.from_dict({"id": ["a"]}).to_iterable_dataset()))


def timed(work: Callable[[], Any]) -> float:
    """Seconds that the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# --- processes --------------------------------------------------------------------------------------------------------


@contextmanager
def serving(home: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The process of a Hub and the environment of its clients."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"from pathlib import Path; from hub_speed.localhub import LocalHub; LocalHub(Path({str(home)!r}))"
    process = subprocess.Popen([sys.executable, "-c", f"{code}.serve_forever({port})"])
    hub = LocalHub(home)
    hub.endpoint = f"http://127.0.0.1:{port}"
    try:
        while not (home / "hf_home" / "token").exists():
            time.sleep(0.05)
            if process.poll() is not None:
                raise SystemExit("the embedded Hub did not start")
        yield process.pid, hub.env()
    finally:
        process.terminate()
        process.wait()


def in_a_process(step: str, column: int, folder: Path, env: dict[str, str]) -> float:
    """Seconds of a step, measured in a process with an empty cache."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        own = {"HF_HUB_CACHE": f"{cache}/hub", "HF_DATASETS_CACHE": f"{cache}/datasets"}
        quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        command = [sys.executable, __file__, "--client", step, str(column), str(folder)]
        out = subprocess.run(command, env={**os.environ, **env, **own, **quiet}, check=True, stdout=subprocess.PIPE)
    return float(out.stdout.split()[-1])


def peak_mb(pid: int) -> float | None:
    """The largest resident memory of a process until now."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Measure, print a table, write it."""
    if sys.argv[1:2] == ["--client"]:
        step, column, folder = sys.argv[2:]
        return print(STEPS[step][int(column)](Path(folder)))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1000, help="size of the large file")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder, asked.mb, asked.rows, asked.files)
        with serving(folder / "home") as (pid, env):
            print(f"{asked.files:,} small files; a large one of {asked.mb:,} MB; {asked.rows:,} rows")
            print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            print(f"{'':24}{'Hub s':>8}{'plain s':>9}{'ratio':>7}{'server MB':>11}")
            for step in STEPS:
                there, plain = (in_a_process(step, column, folder, env) for column in (0, 1))
                memory = peak_mb(pid)
                lines.append({"step": step, "hub_s": there, "plain_s": plain, "server_mb": memory})
                print(f"{step:24}{there:>8.2f}{plain:>9.2f}{there / plain:>6.1f}x{memory or 0:>11.0f}", flush=True)
    if asked.json:
        sizes = {"mb": asked.mb, "rows": asked.rows, "files": asked.files, "load": os.getloadavg()[0]}
        asked.json.write_text(json.dumps(sizes | {"steps": lines}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
