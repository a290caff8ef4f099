"""Embedder training: InfoNCE with instructions and hard negatives, on any decoder or encoder (SPEED §3.3, E5 §3.2).

Settings: base (a folder), base_name and base_revision (on the Hub), data (folder of parquet with id, task_type,
instruction, query, positive, negative), labelled and miner (see `labelled.read`), out, work, the fields of
`recipe.Embedder`, and of `recipe.Runtime` mini_batch_size, gradient_checkpointing and checkpoint_s.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, set_seed

from hub_speed.errors import StageError
from hub_speed.parquet import read_parquet
from hub_speed.record import Json
from hub_speed.text import with_instruction
from hub_speed.training.embedder import batching, labelled
from hub_speed.training.embedder.backbone import add_adapter, embedder, pooling_of, publish, recompute, transformer_of
from hub_speed.training.embedder.infonce import InfoNCE
from hub_speed.training.process import child, failures
from hub_speed.training.process.checkpoints import Keeper, last

COLUMNS = ["id", "task_type", "instruction", "query", "positive", "negative"]
"""What is read of the rows."""


class Trainer(failures.Watched, SentenceTransformerTrainer):
    """The library's trainer, watched, on tokens and batches that are ready."""

    section = "embedder"

    def __init__(self, examples: list[batching.Example], order: list[list[int]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._examples, self._order = examples, order

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """The card is rendered from the record."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """All steps of all epochs in one go, so that a resumed run goes on at the very next batch."""
        collate = batching.Collate(self.model.tokenizer.pad_token_id)
        return self.accelerator.prepare(
            DataLoader(self._examples, batch_sampler=self._order, collate_fn=collate)  # type: ignore[arg-type]
        )


def fit(settings: Json, rows: list[Json], reporter: child.Reporter | None = None) -> tuple[SentenceTransformer, Json]:
    """Train an embedder on rows, from the last checkpoint in `work` on if `checkpoint_s` is set.

    Returns:
        The embedder, and what was measured.

    Raises:
        StageError: the base is not fit for it, too few rows, too little memory, or a loss that is no number.
    """
    set_seed(settings["rng_seed"])
    model = embedder(settings["base"], settings)
    dimensions = _dimensions(model, settings["matryoshka"])
    if settings["lora_r"]:
        add_adapter(model, settings)
    if settings["gradient_checkpointing"]:
        recompute(model)
    examples, truncated = batching.encode(rows, model.tokenizer, settings["max_length"])
    order = batching.batches(
        examples,
        settings["batch_size"],
        settings["epochs"],
        mixed=settings["batching"] == "mixed",
        rng_seed=settings["rng_seed"],
    )
    if not order:
        raise StageError(
            f"embedder: {len(rows)} rows make no batch", expected="at least two rows of one kind, of which to learn"
        )
    callbacks: list[TrainerCallback] = [reporter] if reporter else []
    checkpoint = None
    if settings.get("checkpoint_s") is not None:
        checkpoint, before = last(Path(settings["work"]))
        callbacks.append(Keeper(settings["checkpoint_s"], before))
    trainer = Trainer(
        examples,
        order,
        model=model,
        args=_arguments(settings),
        loss=InfoNCE(
            model,
            settings["loss_temperature"],
            settings["mini_batch_size"],
            settings["false_negative_margin"],
            dimensions,
        ),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    with _explained(settings), _fast_on_cpu(model):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    curve = [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    return model, {
        "steps": len(order),
        "loss_curve": curve,
        "truncated_share": truncated,
        "dimension": dimensions[-1],
        "pooling": pooling_of(model),
    }


def _dimensions(model: SentenceTransformer, wanted: list[int]) -> list[int]:
    """The dimensions to train, rising; the last one is the whole embedding."""
    whole = model.get_embedding_dimension()
    assert whole is not None
    if max(wanted, default=0) > whole:
        raise StageError(
            f"embedder.matryoshka: this base model's embeddings have {whole} dimensions",
            expected=f"numbers up to {whole}",
            got=", ".join(map(str, wanted)),
        )
    return sorted({*wanted, whole})


def _arguments(settings: Json) -> SentenceTransformerTrainingArguments:
    gpu = child.use_gpu()
    return SentenceTransformerTrainingArguments(
        output_dir=settings["work"],
        num_train_epochs=1,  # `batches.batches` holds all of them
        learning_rate=settings["learning_rate"],
        warmup_steps=settings["warmup_steps"],
        weight_decay=settings["weight_decay"],
        lr_scheduler_type="linear",  # E5 §4.2
        seed=settings["rng_seed"],
        bf16=gpu,
        use_cpu=not gpu,
        save_strategy="no",  # `Keeper` saves
        save_total_limit=2,  # one that is complete, while the next is written
        report_to=[],
        logging_steps=1 / 40,  # points of the loss curve
        logging_nan_inf_filter=False,
        disable_tqdm=True,
    )


def _explained(settings: Json) -> AbstractContextManager[None]:
    """Says what to do about memory that runs out: see `watch.memory`."""
    batch, piece = settings["batch_size"], settings["mini_batch_size"]
    what = "texts" if piece < batch else "rows"  # see `infonce.InfoNCE`
    return failures.memory(settings | {"section": "embedder"}, what, min(piece, batch), "mini_batch_size")


@contextmanager
def _fast_on_cpu(model: SentenceTransformer) -> Iterator[None]:
    """Have oneDNN multiply matrices: with a tiny model, half the time of the default (MKL) on an AMD processor.

    Where a processor can, it may multiply in bfloat16, as GPUs do here. Its small products are slow inside of torch's
    fused attention, so attention is computed step by step.
    """
    backbone, before = transformer_of(model).auto_model, torch.get_float32_matmul_precision()
    if child.use_gpu():
        yield
        return
    kernel = backbone.config._attn_implementation
    torch.set_float32_matmul_precision("medium")
    backbone.set_attn_implementation("eager")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        backbone.set_attn_implementation(kernel)


def train(settings: Json) -> Json:
    """Train and publish; returns losses and counts.

    Raises:
        StageError: see `fit` and `labelled.read`.
    """
    synthetic = sorted(read_parquet(Path(settings["data"]), COLUMNS), key=lambda row: row["id"])[: settings["rows"]]
    extra, mined = labelled.read(settings)
    rows = synthetic + extra
    model, measures = fit(settings, rows, child.Reporter())
    model.prompts = {"query": with_instruction(settings["default_instruction"], ""), "document": ""}
    publish(model, settings)
    mix = dict(Counter(row["task_type"] for row in rows))
    return {"rows": len(rows), **measures, "mix": mix, "mined_negatives": mined}


if __name__ == "__main__":
    child.run(train)
