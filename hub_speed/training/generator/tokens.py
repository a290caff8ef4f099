"""Tokenises prompts and answers for SFT and DPO; drops or truncates long rows.

The tokens of a prompt are exactly those that a server makes of it: the prompt format as plain text
(`/v1/completions`), or the tokenizer's chat template (`/v1/chat/completions`). The answer follows, and then the token
that ends it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import torch
from transformers import PreTrainedTokenizerBase
from transformers.trainer_pt_utils import get_length_grouped_indices

from hub_speed.errors import StageError
from hub_speed.llm.dialects import SYSTEM
from hub_speed.parquet import read_parquet
from hub_speed.recipe import CHAT
from hub_speed.record import Json


@dataclass
class TokenizedPrompt:
    """The tokens of a prompt and of each answer to it (SFT has one, DPO a chosen and a rejected one)."""

    prompt: list[int]
    answers: list[list[int]]

    @property
    def length(self) -> int:
        """How many tokens the prompt has with its longest answer."""
        return len(self.prompt) + max(map(len, self.answers))

    @property
    def tokens(self) -> int:
        """How many tokens one pass over the row reads."""
        return sum(len(self.prompt) + len(answer) for answer in self.answers)


def read(folder: Path, answers: Sequence[str]) -> list[Json]:
    """The rows to train on, sorted by id.

    Raises:
        StageError: there are no rows, or a column or a text is missing.
    """
    rows = sorted(read_parquet(folder), key=lambda row: row.get("id", ""))
    needed = ("id", "prompt", *answers)
    if not rows:
        raise StageError(
            "there are no rows to train on",
            expected=f"parquet files with the columns {', '.join(needed)}",
            got=f"none below {folder}",
            fix="look at the ledger of the dataset they come from: hub-speed rows REPO --state rejected",
        )
    missing = [name for name in needed if name not in rows[0]]
    if missing:
        raise StageError(
            f"the rows to train on have no column {', '.join(missing)}",
            expected=", ".join(needed),
            got=", ".join(rows[0]),
        )
    for row in rows:
        if not all(isinstance(row[name], str) and row[name] for name in needed):
            raise StageError(f"row {row['id']} has no text in one of {', '.join(needed)}", got=f"{row!r:.200}")
    return rows


def encode(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Json], answers: Sequence[str], prompt_format: str
) -> list[TokenizedPrompt]:
    """The tokens of every row.

    Raises:
        StageError: there is no usable chat template, or a prompt and its answer have a token in common.
    """
    chat, eos = prompt_format == CHAT, tokenizer.eos_token_id
    served = [_as_served(tokenizer, row["prompt"], prompt_format) for row in rows]

    def tokens(texts: list[str]) -> list[list[int]]:
        # A template writes the special tokens out; plain text gets those that the tokenizer adds. One that closes every
        # text would end an answer before it begins.
        found = tokenizer(texts, add_special_tokens=not chat).input_ids
        return [ids[:-1] if ids and ids[-1] == eos else ids for ids in found]

    prompts = tokens(served)
    # After a plain prompt an answer begins with a space: without one, "]{" could be a token that no prompt ends with.
    space = "" if chat else " "
    columns = [tokens([text + space + row[name] for text, row in zip(served, rows, strict=True)]) for name in answers]
    for row, prompt, *wholes in zip(rows, prompts, *columns, strict=True):
        if any(whole[: len(prompt)] != prompt for whole in wholes):
            raise StageError(
                f"row {row['id']}: the prompt's last token changes when the answer follows it",
                expected="prompts that are the same tokens in training and when the model is asked",
                got=f"prompt format {prompt_format!r}",
                fix="let generator.prompt_format end with a sign that no token joins to a space, as [/INST] does",
            )
    return [
        TokenizedPrompt(prompt, [[*whole[len(prompt) :], eos] for whole in wholes])
        for prompt, *wholes in zip(prompts, *columns, strict=True)
    ]


def _as_served(tokenizer: PreTrainedTokenizerBase, prompt: str, prompt_format: str) -> str:
    """The text a server makes of a prompt."""
    if prompt_format != CHAT:
        return prompt_format.replace("{prompt}", prompt)
    if not tokenizer.chat_template:
        raise StageError(
            "the base model's tokenizer has no chat template",
            expected="one, because of generator.prompt_format: chat",
            fix="--set 'generator.prompt_format={prompt} [/INST]', or a base model that has a template",
        )
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except jinja2.TemplateError as error:
        raise StageError(
            "the base model's chat template cannot be used",
            expected="one that takes a system message and a user message",
            got=str(error),
            fix="--set 'generator.prompt_format={prompt} [/INST]', or a base model with such a template",
        ) from error


def sift(examples: list[TokenizedPrompt], limit: int, too_long: str) -> tuple[list[TokenizedPrompt], Json]:
    """The rows that fit into `limit` tokens, and how many were dropped or truncated.

    Args:
        examples: all rows.
        limit: the most tokens of a prompt with its answer.
        too_long: "drop" longer rows, or "truncate" their answers; a row whose prompt leaves no room is always dropped.

    Raises:
        StageError: no row is left.
    """
    kept, cut = [], 0
    for example in examples:
        room = limit - len(example.prompt)
        if example.length > limit:
            if too_long == "drop" or room < 1:
                continue
            cut += 1
            example = TokenizedPrompt(example.prompt, [answer[:room] for answer in example.answers])
        kept.append(example)
    if not kept:
        shortest = min(example.length for example in examples)
        raise StageError(
            f"all {len(examples)} rows are longer than {limit} tokens",
            got=f"the shortest has {shortest}",
            fix="raise max_length, within what the base model reads",
        )
    counts = {"rows": len(kept), "rows_dropped_too_long": len(examples) - len(kept), "rows_cut_off": cut}
    return kept, counts


def order(lengths: Sequence[int], *, epochs: float, batch_size: int, by_length: bool, rng_seed: int) -> list[int]:
    """The row numbers in training order, all epochs in one list: the same after a kill and on any machine.

    By length: batches of about the same length, the longest of an epoch first, so that memory which does not suffice
    runs out at once.
    """
    generator = torch.Generator().manual_seed(rng_seed)
    wanted = max(1, round(epochs * len(lengths)))
    found: list[int] = []
    while len(found) < wanted:
        if by_length:
            found += get_length_grouped_indices(list(lengths), batch_size, generator=generator)
        else:
            found += torch.randperm(len(lengths), generator=generator).tolist()
    return found[:wanted]
