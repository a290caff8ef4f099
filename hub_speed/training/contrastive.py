"""Embedder training: InfoNCE with instructions, last-token pooling and hard negatives (SPEED Eq. 4, E5 Eq. 2-3).

Settings: base, data (folder of parquet with instruction, query, positive, negative), out, work, and the fields of
`recipe.Embedder`.
"""

from collections import defaultdict
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from hub_speed.instructions import with_instruction
from hub_speed.rows import read_parquet
from hub_speed.training import child, generator


class InfoNCE(CachedLossMixin, nn.Module):
    """−log of the positive's share of φ over all documents of the batch, φ(q, d) = exp(cos(q, d) / τ).

    Every query sees the positives and hard negatives of all rows. A document that equals the query's own positive (the
    same label, say) is left out of its negatives. With `mini_batch_size` rows in memory at a time (GradCache) the
    result is the same but for rounding.
    """

    def __init__(self, model: SentenceTransformer, temperature: float, mini_batch_size: int) -> None:
        super().__init__()
        self.model, self.temperature, self.mini_batch_size = model, temperature, mini_batch_size

    def forward(self, sentence_features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The loss of a batch: queries first, then positives, then (where there are any) negatives."""
        sentence_features = list(sentence_features)
        if len(sentence_features[0]["attention_mask"]) > self.mini_batch_size:
            return self.forward_cached(sentence_features, labels)
        return self.calculate_loss([[self.model(column)["sentence_embedding"]] for column in sentence_features])

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss from embeddings that come in mini-batches, per column."""
        queries_BD, *documents = [torch.cat(column) for column in reps]
        documents_ND = torch.cat(documents)  # N = B positives, then B negatives if there are any
        rows = torch.arange(len(queries_BD), device=queries_BD.device)
        scores_BN = queries_BD @ documents_ND.T / self.temperature
        with torch.no_grad():
            # Equal texts have equal embeddings up to rounding; nothing else comes this close.
            again_BN = documents[0] @ documents_ND.T > 1 - 1e-6
            again_BN[rows, rows] = False
        loss = nn.functional.cross_entropy(scores_BN.masked_fill(again_BN, -torch.inf), rows)
        if with_backward:
            loss.backward()
        return loss.detach() if with_backward else loss


def close_with_eos(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the tokenizer end every text with its end-of-sequence token, also after it cut one.

    Last-token pooling reads that token; transformers 5 drops it silently for some tokenizers. Written into the
    tokenizer's own files, so that whoever loads the embedder gets it.

    Raises:
        ValueError: the tokenizer has no such token, or cannot be told to add it.
    """
    eos, bos = tokenizer.eos_token, tokenizer.bos_token
    if eos is None:
        raise ValueError("the base model's tokenizer has no end-of-sequence token; last-token pooling needs one")
    if tokenizer("a").input_ids[-1] == tokenizer.eos_token_id:
        return
    begins = bos is not None and tokenizer("a").input_ids[0] == tokenizer.bos_token_id
    single = f"{bos} $A {eos}" if begins else f"$A {eos}"
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ([bos, eos] if begins else [eos])]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=special)
    if tokenizer("a").input_ids[-1] != tokenizer.eos_token_id:
        raise ValueError("the tokenizer cannot be told to end texts with its end-of-sequence token")


def embedder(base: str, settings: child.Json) -> SentenceTransformer:
    """An untrained embedder on a decoder: last-token pooling, unit length."""
    device = "cuda" if child.use_gpu() else "cpu"
    transformer = Transformer(
        base,
        max_seq_length=settings["max_length"],
        model_kwargs={"dtype": torch.bfloat16 if device == "cuda" else torch.float32, "use_safetensors": True},
    )
    if transformer.tokenizer.pad_token is None:
        transformer.tokenizer.pad_token = transformer.tokenizer.eos_token
    close_with_eos(transformer.tokenizer)
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="lasttoken")
    return SentenceTransformer(modules=[transformer, pooling, Normalize()], device=device)


def datasets(rows: list[child.Json], batching: str) -> dict[str, Dataset]:
    """Rows as one dataset per kind of batch: per task type, or (mixed) with and without hard negatives."""
    groups: dict[str, list[child.Json]] = defaultdict(list)
    for row in rows:
        example = {"anchor": with_instruction(row["instruction"], row["query"]), "positive": row["positive"]}
        if row["negative"]:
            example["negative"] = row["negative"]
        mixed = "triplets" if row["negative"] else "pairs"
        groups[row["task_type"] if batching == "homogeneous" else mixed].append(example)
    return {name: Dataset.from_list(group) for name, group in sorted(groups.items()) if len(group) > 1}


def fit(settings: child.Json, rows: list[child.Json], reporter: child.Reporter | None = None) -> SentenceTransformer:
    """Train an embedder on rows."""
    generator.seed_everything(settings["rng_seed"])
    model = embedder(settings["base"], settings)
    if settings["lora_r"]:
        model.add_adapter(
            LoraConfig(
                task_type="FEATURE_EXTRACTION",
                r=settings["lora_r"],
                lora_alpha=settings["lora_alpha"],
                lora_dropout=settings["lora_dropout"],
                target_modules="all-linear",
            )
        )
    gpu = child.use_gpu()
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=settings["work"],
            num_train_epochs=settings["epochs"],
            per_device_train_batch_size=settings["batch_size"],
            learning_rate=settings["learning_rate"],
            warmup_steps=settings["warmup_steps"],
            weight_decay=settings["weight_decay"],
            lr_scheduler_type="linear",  # E5 §4.2
            multi_dataset_batch_sampler="proportional",
            seed=settings["rng_seed"],
            data_seed=settings["rng_seed"],
            bf16=gpu,
            use_cpu=not gpu,
            save_strategy="no",
            report_to=[],
            logging_steps=child.log_every(settings["epochs"] * len(rows) / settings["batch_size"]),
            disable_tqdm=True,
        ),
        train_dataset=datasets(rows, settings["batching"]),
        loss=InfoNCE(model, settings["loss_temperature"], settings["mini_batch_size"]),
        callbacks=[reporter] if reporter else [],
    )
    trainer.train()
    return model


def train(settings: child.Json) -> child.Json:
    """Train and save; returns losses and counts."""
    rows = sorted(read_parquet(Path(settings["data"])), key=lambda row: row["id"])[: settings["rows"]]
    reporter = child.Reporter()
    model = fit(settings, rows, reporter)
    model.prompts = {"query": with_instruction(settings["default_instruction"], ""), "document": ""}
    model.save_pretrained(settings["out"], safe_serialization=True)
    return {"rows": len(rows), "loss_curve": reporter.curve, "dimension": model.get_embedding_dimension()}


if __name__ == "__main__":
    child.run(train)
