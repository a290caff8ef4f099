"""Embedder training: InfoNCE with instructions and hard negatives, on any decoder or encoder (SPEED §3.3, E5 §3.2)."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.data_loader import prepare_data_loader
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, set_seed

from hub_speed.errors import StageError
from hub_speed.mix import subset
from hub_speed.parquet import read_parquet
from hub_speed.recipe import Embedder
from hub_speed.record import Json
from hub_speed.text import before_query
from hub_speed.training import test_texts
from hub_speed.training.embedder import batching, exports, labelled, merging, teacher
from hub_speed.training.embedder.backbone import add_adapter, embedder, pooling_of, publish, recompute, transformer_of
from hub_speed.training.embedder.infonce import InfoNCE, Teachers
from hub_speed.training.embedder.settings import EmbedderSettings, FitSettings
from hub_speed.training.process import child, failures, together
from hub_speed.training.process.checkpoints import Keeper, last

COLUMNS = ["id", "task_type", "instruction", "query", "positive", "negative"]
"""The columns that are read of all rows."""
LISTS = {"mine": ["positives", "negatives"]}
LISTS["relabel"] = [*LISTS["mine"], "positive_scores", "negative_scores"]
"""`embedder.data` → the columns that are read of such rows beside."""

COMPARED = 50
"""Rows whose query and positive an export is compared on. Assumption."""


class Trainer(failures.Watched, SentenceTransformerTrainer):
    """The library's trainer, watched, on rows that are tokenised and batched already.

    Of several processes, each sees all batches and has the loss of the whole batch, with gradients of its own texts
    alone: these are added up. The library would give each process batches of its own, and average the gradients.
    """

    section = "embedder"

    def __init__(self, examples: list[batching.TokenizedRow], order: list[list[int]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise StageError(
                "runtime.launcher: FSDP or DeepSpeed would spread an embedder over several devices",
                expected="a configuration in which every device holds the whole model",
                fix="accelerate launch --multi_gpu, or torchrun; a large base fits with embedder.lora_r above 0",
            )
        self._examples, self._order = examples, order
        # Several pieces of a batch are embedded before a gradient is known, which DistributedDataParallel cannot do.
        self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)
        together.start_alike(self._trained())

    def _trained(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the loss of a batch, with the gradients of all processes."""
        loss = super().training_step(*args, **kwargs)
        together.add_gradients(self._trained())
        return loss

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Do nothing: the card is rendered from the record."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """All steps of all epochs as one epoch, so that a resumed run continues at the very next batch."""
        collate = batching.Collate(self.model.tokenizer.pad_token_id)
        loader: DataLoader[Any] = DataLoader(self._examples, batch_sampler=self._order, collate_fn=collate)  # type: ignore[arg-type]
        prepared: DataLoader[Any] = prepare_data_loader(
            loader, self.accelerator.device, num_processes=1, process_index=0, put_on_device=True
        )
        return prepared


def fit(
    settings: FitSettings, rows: list[Json], reporter: child.Reporter | None = None
) -> tuple[SentenceTransformer, Json]:
    """Train an embedder on rows; where `checkpoint_s` is set, start from the last checkpoint in `work`.

    Returns:
        The embedder, and what was measured.

    Raises:
        StageError: an unfit base model, too few rows, too little memory, or a loss that is not a number.
    """
    recipe = settings.recipe
    set_seed(recipe.rng_seed)
    # An adapter is trained on 16-bit weights and is 32-bit itself; all weights are trained in 32 bits.
    model = embedder(settings.base.folder, recipe.max_length, recipe.pooling, half=recipe.lora_r > 0)
    dimensions = _dimensions(model, recipe.matryoshka)
    if recipe.lora_r:
        add_adapter(model, recipe)
    if settings.gradient_checkpointing:
        recompute(model)
    examples, truncated = batching.encode(rows, model.tokenizer, recipe.max_length, recipe.instructions)
    teachers = Teachers(recipe.distil, recipe.distil_temperature)
    if settings.teacher:
        examples, vectors = teacher.targets(
            rows, examples, settings.teacher, dimensions[-1], recipe.instructions, settings.work
        )
        teachers = replace(teachers, targets_TD=vectors, weight=recipe.teacher_weight)
    order = batching.batches(
        examples, recipe.batch_size, recipe.epochs, mixed=recipe.batching == "mixed", rng_seed=recipe.rng_seed
    )
    if not order:
        raise StageError(f"embedder: {len(rows)} rows make no batch", expected="at least two rows of one kind")
    callbacks: list[TrainerCallback] = [reporter] if reporter else []
    checkpoint = None
    if settings.checkpoint_s is not None:
        checkpoint, before = last(settings.work)
        callbacks.append(Keeper(settings.checkpoint_s, before))
    trainer = Trainer(
        examples,
        order,
        model=model,
        args=_arguments(settings),
        loss=InfoNCE(
            model, recipe.loss_temperature, settings.mini_batch_size, recipe.false_negative_margin, dimensions, teachers
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
        "max_length": model.max_seq_length,
        "modules": ", ".join(type(module).__name__ for module in model),
    }


def _dimensions(model: SentenceTransformer, wanted: Sequence[int]) -> list[int]:
    """The dimensions to train, in rising order: those wanted, those the base is cut to, and the whole embedding."""
    with model.truncate_embeddings(None):
        whole = model.get_embedding_dimension()
    assert whole is not None
    if max(wanted, default=0) > whole:
        raise StageError(
            f"embedder.matryoshka: this base model's embeddings have {whole} dimensions",
            expected=f"numbers up to {whole}",
            got=", ".join(map(str, wanted)),
        )
    return sorted({*wanted, min(model.truncate_dim or whole, whole), whole})


def _arguments(settings: FitSettings) -> SentenceTransformerTrainingArguments:
    gpu, recipe = child.use_gpu(), settings.recipe
    return SentenceTransformerTrainingArguments(
        output_dir=str(settings.work),
        num_train_epochs=1,  # `batching.batches` holds all epochs
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        lr_scheduler_type="linear",  # E5 §4.2
        seed=recipe.rng_seed,
        bf16=gpu,
        use_cpu=not gpu,
        save_strategy="no",  # `Keeper` saves
        save_total_limit=2,  # one that is complete, while the next is written
        report_to=[],
        logging_steps=1 / 40,  # points of the loss curve
        logging_nan_inf_filter=False,
        disable_tqdm=True,
    )


def _explained(settings: FitSettings) -> AbstractContextManager[None]:
    """Explains what to do when memory runs out: see `failures.memory`."""
    batch, piece = settings.recipe.batch_size, settings.mini_batch_size
    unit = "texts" if piece < batch else "rows"  # see `infonce.InfoNCE`
    recomputes = settings.gradient_checkpointing
    return failures.memory("embedder", unit, min(piece, batch), "mini_batch_size", recomputes=recomputes)


@contextmanager
def _fast_on_cpu(model: SentenceTransformer) -> Iterator[None]:
    """Let oneDNN multiply matrices: with a tiny model this takes half the time of the default (MKL) on an AMD CPU.

    A processor that can may multiply in bfloat16, as GPUs do here. Small products are slow inside torch's fused
    attention, so attention is computed step by step.
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


def train(settings: EmbedderSettings) -> Json:
    """Train and publish; returns losses and counts.

    Raises:
        StageError: see `fit` and `labelled.read`.
    """
    recipe = settings.recipe
    data = read_parquet(settings.data, columns(recipe))
    synthetic = subset(sorted(data, key=lambda row: row["id"]), recipe.rows)
    extra, mined = labelled.read(settings)
    rows, found = test_texts.keep(synthetic + extra, settings.tests)
    measures = _train_merged(settings, rows) if recipe.merge else _train_one(settings, rows, settings.out)
    if recipe.exports and together.is_first():
        some = [text for row in rows[:COMPARED] for text in (row["query"], batching.documents(row)[0][0])]
        measures["exports"] = exports.export(settings.out, recipe.exports, some)
    mix = dict(Counter(row["task_type"] for row in rows))
    return {"rows": len(rows), **measures, "mix": mix, "mined_negatives": mined, "contamination": found}


def columns(recipe: Embedder) -> list[str]:
    """The columns that are read of the rows."""
    return COLUMNS + LISTS.get(recipe.data, [])


def _train_one(settings: EmbedderSettings, rows: list[Json], out: Path) -> Json:
    """Train one embedder and publish it into a new folder."""
    model, measures = fit(settings, rows, child.Reporter())
    model.prompts = _prompts(settings)
    model.default_prompt_name = None
    if together.is_first():
        publish(model, out, settings.base if settings.recipe.lora_r else None)
    return measures


def _train_merged(settings: EmbedderSettings, rows: list[Json]) -> Json:
    """Train an embedder with each seed, and publish what lies between these and the given models.

    Returns what was measured of the first one's training.
    """
    recipe, found = settings.recipe, list[Json]()
    assert recipe.merge is not None
    seeds = recipe.merge.seeds or (recipe.rng_seed,)
    folders = [settings.work / f"trained-{seed}" for seed in seeds]
    for seed, folder in zip(seeds, folders, strict=True):
        done = folder / "measures.json"
        if not done.exists():
            how = {"recipe": recipe.model_copy(update={"rng_seed": seed}), "work": settings.work / f"seed-{seed}"}
            measures = _train_one(settings.model_copy(update=how), rows, folder)
            if together.is_first():
                done.write_text(json.dumps(measures), "utf-8")
            PartialState().wait_for_everyone()
        found.append(json.loads(done.read_text("utf-8")))
    if together.is_first():
        folders += [model.folder for model in settings.merged]
        names = [f"seed {seed}" for seed in seeds] + [f"{model.repo}@{model.commit[:7]}" for model in settings.merged]
        weights = recipe.merge.weights or [1.0] * len(folders)
        merged = merging.merge(folders, names, weights, recipe.merge.method, recipe.max_length)
        publish(merged, settings.out)
        found[0]["merged"] = names
    return found[0]


def _prompts(settings: EmbedderSettings) -> dict[str, str | None]:
    """What goes before a text, by the names of sentence-transformers."""
    form = settings.recipe.instructions
    found: dict[str, str | None] = {"document": ""}
    found["query"] = before_query(form, settings.default_instruction, "retrieval")
    if form == "task_type_prefix":
        found["classify"] = before_query(form, "", "classification")
    return found


if __name__ == "__main__":
    child.run(EmbedderSettings, train)
