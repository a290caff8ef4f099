"""Tokens a second of generator fine-tuning here, against TRL as it comes, on the same model and the same rows.

    python scripts/bench_generator_training.py [--rows 400] [--repeats 3] [--json PATH]

Both train all weights of the tiny base the package ships, for one epoch, with the same batch, learning rate and length;
TRL gets the rows as text and shuffles them, as it does unless told otherwise. The two take turns, each in a process of
its own. Tokens are those of prompts and completions, without padding. Seconds are those of a whole process less what
Python needs to import the libraries, which is the same for both: data preparation, training and saving are in them.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hub_speed.quickstart import assets
from hub_speed.recipe import Junior
from hub_speed.training.generator.settings import SftSettings
from hub_speed.training.process.settings import PinnedModel

Json = dict[str, Any]


def stock(settings: SftSettings) -> Json:
    """What a page of TRL's documentation does: rows as text, its own defaults for all that is not in the settings."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from hub_speed.parquet import read_parquet

    data = [
        {"prompt": f"{row['prompt']} [/INST]", "completion": f" {row['completion']}"}
        for row in read_parquet(settings.data)
    ]
    trainer = SFTTrainer(
        model=str(settings.base.folder),
        args=SFTConfig(
            output_dir=str(settings.work),
            per_device_train_batch_size=settings.recipe.batch_size,
            learning_rate=settings.recipe.learning_rate,
            num_train_epochs=settings.recipe.epochs,
            max_length=settings.recipe.max_length,
            model_init_kwargs={"dtype": "float32"},
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
        ),
        train_dataset=Dataset.from_list(data),
        processing_class=AutoTokenizer.from_pretrained(settings.base.folder, trust_remote_code=False),
    )
    trainer.train()
    trainer.save_model(str(settings.out))
    return {"tokens": sum(map(len, trainer.train_dataset["input_ids"])), "steps": trainer.state.global_step}


def child(which: str, path: Path) -> None:
    """Train once; prints seconds and what was measured."""
    from hub_speed.training.generator import sft  # with TRL: the import is not what is measured

    settings = SftSettings.model_validate_json(path.read_bytes())
    started = time.perf_counter()
    found = (sft.train if which == "hub_speed" else stock)(settings)
    seconds = time.perf_counter() - started
    print("\n" + json.dumps({"seconds": seconds, "tokens": found["tokens"], "steps": found["steps"]}))


def rows(count: int) -> list[Json]:
    """Prompts and answers of lengths as different as those of a seed dataset."""
    rng = random.Random(0)
    words = [rng.choice(["river", "who", "was", "the", "castle", "built", "in", "music", "of"]) for _ in range(4000)]

    def text(low: int, high: int) -> str:
        start, length = rng.randrange(3000), rng.randrange(low, high)
        return " ".join(words[start : start + length])

    return [
        {"id": f"{i:06d}", "prompt": text(40, 90), "completion": json.dumps({"text": text(10, 160)})}
        for i in range(count)
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], Path(args.child[1]))
        return
    runs: dict[str, list[Json]] = {"hub_speed": [], "trl": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        pq.write_table(pa.Table.from_pylist(rows(args.rows)), folder / "data" / "train-00000.parquet")
        junior = {"lora_r": 0, "batch_size": 8, "max_length": 512, "learning_rate": 7e-4}  # about the quickstart's
        settings = SftSettings(
            work=folder / "work",
            base=PinnedModel(folder=assets.BASE, repo="tiny-base", commit="main"),
            gradient_checkpointing=False,
            checkpoint_s=600,
            section="junior",
            recipe=Junior(**junior),
            data=folder / "data",
            out=folder / "out",
            prompt_format="{prompt} [/INST]",
            rng_seed=1,
            micro_batch_size=None,
        )
        for i in range(args.repeats):
            for which in runs:
                path = folder / f"{which}-{i}.json"
                places = {"out": folder / f"{which}-{i}-out", "work": folder / f"{which}-{i}-work"}
                path.write_text(settings.model_copy(update=places).model_dump_json(), "utf-8")
                command = [sys.executable, __file__, "--child", which, str(path)]
                environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
                done = subprocess.run(command, env=environment, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(done.stderr[-3000:])
                runs[which].append(json.loads(done.stdout.splitlines()[-1]))
    rates = {which: [run["tokens"] / run["seconds"] for run in found] for which, found in runs.items()}
    medians = {which: statistics.median(found) for which, found in rates.items()}
    print(f"{'':12}{'tokens':>10}{'steps':>7}{'tokens/s':>10}{'lowest':>9}{'highest':>9}{'ratio':>7}")
    for which, found in rates.items():
        run = runs[which][0]
        print(
            f"{which:12}{run['tokens']:10,}{run['steps']:7}{medians[which]:10,.0f}{min(found):9,.0f}{max(found):9,.0f}"
            f"{medians[which] / medians['trl']:7.2f}"
        )
    print(f"{args.rows} rows, {platform.processor() or platform.machine()}, one thread")
    if args.json:
        ratio = medians["hub_speed"] / medians["trl"]
        found = {"rows": args.rows, "runs": runs, "tokens_per_s": medians, "ratio_to_trl": ratio}
        args.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
