"""Make the tiny base model that the package ships: tokenizer and weights, from the world's plain text.

    python scripts/pretrain_tiny_base.py [--minutes 60] [--out hub_speed/quickstart/tiny_base]

One process per core, gradients averaged; about an hour on two cores. The text holds facts, questions, records, copies
and corrections, but no prompt, no task and no held-out phrasing. Only the tokenizer has seen the wording of the
prompts, whose fixed parts are one token each. Weights are written as bf16 safetensors.
"""

import argparse
import itertools
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hub_speed import prompts
from hub_speed.quickstart import tasks
from hub_speed.quickstart import world as worlds
from hub_speed.task_types import TASK_TYPES

PAD, BOS, EOS = "<pad>", "<s>", "</s>"
VOCABULARY, CONTEXT = 2048, 1024
SEQUENCE, BATCH = 512, 2  # tokens per sequence, sequences per step and process: many small steps learn fastest here
PEAK, FLOOR, WARMUP_STEPS = 4e-3, 5e-5, 200


def fixed_text() -> list[str]:
    """The parts of prompts and answers that never change; each becomes one token.

    A prompt is two thirds of a training row and nine tenths of it never change. Read word by word, they would take most
    of the quickstart's time.
    """
    templates = [prompts.REVISION]
    answers = ['{"reason": "', '", "revision": ', '"}']
    for task_type in TASK_TYPES.values():
        templates += [task_type.opening, *(f"\n- {line.text}" for line in task_type.guidelines)]
        templates.append(f"\n{task_type.closing}")
        first, *others = task_type.answer.model_fields
        answers += [f'{{"{first}": "', *(f'", "{key}": "' for key in others)]
    literals = [literal for template in templates for literal, *_ in Formatter().parse(template)]
    return list(dict.fromkeys([text for text in literals if len(text.split()) >= 3] + answers))


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of the world's text that begins every text with BOS, with the fixed text on top."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        show_progress=False,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    plain = itertools.islice(worlds.load().plain_text(seed=1), 20_000)
    values = [v for task_type in TASK_TYPES.values() for knob in task_type.knobs.values() for v in knob]
    values += [*tasks.wordings(), "English 12 20 30 words [/INST] nothing is wrong"]
    bpe.train_from_iterator(itertools.chain(plain, [" ".join(values)] * 500), trainer)
    bpe.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bpe.token_to_id(BOS))])
    bpe.add_tokens([AddedToken(text, normalized=False) for text in fixed_text()])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, bos_token=BOS, eos_token=EOS, model_max_length=CONTEXT, padding_side="left"
    )


def model(tok: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained Llama of about two million parameters."""
    config = LlamaConfig(
        vocab_size=len(tok),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=tok.pad_token_id,
        bos_token_id=tok.bos_token_id,
        eos_token_id=tok.eos_token_id,
    )
    return LlamaForCausalLM(config)


def sequences(tok: PreTrainedTokenizerFast, seed: int) -> Iterator[torch.Tensor]:
    """Token sequences of full length: passages one after the other, each begun by BOS and closed by EOS."""
    waiting: list[int] = []
    for passage in worlds.load().plain_text(seed=seed):
        waiting += [*tok(passage).input_ids, tok.eos_token_id]
        while len(waiting) >= SEQUENCE:
            yield torch.tensor(waiting[:SEQUENCE])
            waiting = waiting[SEQUENCE:]


def rate(done: float, step: int) -> float:
    """Learning rate: a short warm-up, then a cosine over the share of the time that is used up."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (FLOOR + (PEAK - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


def train(rank: int, world: int, minutes: float, out: Path, meeting: str) -> None:
    """One process of the training."""
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tok = tokenizer()
    net = model(tok)
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK, betas=(0.9, 0.95), weight_decay=0.05)
    stream = sequences(tok, seed=1000 + rank)
    started, step, done = time.monotonic(), 0, 0.0
    while done < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate(done, step)
        batch = torch.stack(list(itertools.islice(stream, BATCH)))
        loss = net(input_ids=batch, labels=batch).loss
        loss.backward()
        for parameter in net.parameters():
            assert parameter.grad is not None
            dist.all_reduce(parameter.grad)
            parameter.grad.div_(world)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        progress = torch.tensor([(time.monotonic() - started) / (60 * minutes), loss.item()])
        dist.broadcast(progress, 0)  # all stop at the same step
        done = progress[0].item()
        if rank == 0 and (step % 200 == 0 or done >= 1):
            tokens = step * world * BATCH * SEQUENCE
            print(f"{done:6.1%}  step {step}  {tokens / 1e6:.2f}M tokens  loss {progress[1]:.3f}", flush=True)
    if rank == 0:
        save(net, tok, out, step * world * BATCH * SEQUENCE, progress[1].item())
    dist.destroy_process_group()


@torch.no_grad()
def start_fixed_text(net: LlamaForCausalLM, tok: PreTrainedTokenizerFast) -> None:
    """Give each token of fixed text, which pre-training never showed, the mean embedding of the words it stands for."""
    weights = net.get_input_embeddings().weight
    plain = Tokenizer.from_str(tok.backend_tokenizer.to_str())
    without = json.loads(plain.to_str())
    without["added_tokens"] = [token for token in without["added_tokens"] if token["special"]]
    plain = Tokenizer.from_str(json.dumps(without))
    for text in fixed_text():
        parts = plain.encode(text, add_special_tokens=False).ids
        weights[tok.convert_tokens_to_ids(text)] = weights[parts].mean(0)


def save(net: LlamaForCausalLM, tok: PreTrainedTokenizerFast, out: Path, tokens: int, loss: float) -> None:
    """Write weights, tokenizer and how they were made."""
    out.mkdir(parents=True, exist_ok=True)
    start_fixed_text(net, tok)
    net.generation_config = GenerationConfig(
        do_sample=True, eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id, bos_token_id=tok.bos_token_id
    )
    net.bfloat16().save_pretrained(out)
    tok.save_pretrained(out)
    facts = {"parameters": net.num_parameters(), "tokens": tokens, "loss": round(loss, 4)}
    (out / "pretraining.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    print(facts)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, default=Path("hub_speed/quickstart/tiny_base"))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(train, (args.processes, args.minutes, args.out, f"{folder}/meeting"), nprocs=args.processes)


if __name__ == "__main__":
    main()
