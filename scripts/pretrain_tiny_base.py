"""Make the tiny base model that the package ships: tokenizer and weights, from text about the world.

    python scripts/pretrain_tiny_base.py [--minutes 60] [--start FOLDER] [--out hub_speed/quickstart/tiny_base]
    python scripts/pretrain_tiny_base.py --reword hub_speed/quickstart/tiny_base

One process per core, gradients averaged; about an hour on two cores. Half of the passages are plain text: facts,
questions, records, copies and corrections. The others are JSON records about a named subject, of the kinds the tasks
ask for, some of them after a flawed draft: a large model has seen such data as well. There is no prompt, no task, no
guideline and no held-out phrasing in it. Only the tokenizer has seen the wording of the prompts, whose fixed parts are
one token each. Weights are written as bf16 safetensors.

Pre-training has shown the model none of these tokens, so a new wording needs no new training: `--reword` puts the parts
of today's prompts in place of the old ones, in seconds. All other weights stay as they are.

The base that ships was made in three goes on two busy cores: 50 minutes of plain text alone (--peak 4e-3), then 16
(--peak 2e-3) and 20 (--peak 1.5e-3) with records, each from the one before (--start). Its prompts were reworded since.
"""

import argparse
import itertools
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from string import Formatter

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hub_speed import recipe
from hub_speed.generation import examples, prompts
from hub_speed.generation.topics import spoken
from hub_speed.quickstart import reviser, tasks, writer
from hub_speed.quickstart import world as worlds
from hub_speed.quickstart.requests import Synthesis
from hub_speed.task_types import TASK_TYPES

PAD, BOS, EOS = "<pad>", "<s>", "</s>"
VOCABULARY, CONTEXT = 2048, 1024
SEQUENCE, BATCH = 512, 2  # tokens per sequence, sequences per step and process: many small steps learn fastest here
FLOOR, WARMUP_STEPS = 5e-5, 200
PLAIN, FLAWED = 0.5, 0.35  # share of passages that are plain text; share of records that begin with a flawed draft


def prompt_text() -> list[str]:
    """The parts of prompts that never change; each becomes one token.

    A prompt is two thirds of a training row and nine tenths of it never change. Read word by word, they would take most
    of the quickstart's time.
    """
    templates = [prompts.REVISION.replace("{then}", then) for then in (prompts.MAY_KEEP, prompts.IMPROVE)]
    for task_type in TASK_TYPES.values():
        templates += [task_type.opening, *(f"\n- {line.text}" for line in task_type.guidelines)]
        templates.append(f"\n{task_type.closing}")
    literals = [literal for template in templates for literal, *_ in Formatter().parse(template)]
    return list(dict.fromkeys(text for text in literals if len(text.split()) >= 3))


def answer_text() -> list[str]:
    """The parts of answers that never change; each becomes one token."""
    parts = ['{"reason": "', '", "revision": ', '"}']
    for task_type in TASK_TYPES.values():
        first, *others = task_type.answer.model_fields
        parts += [f'{{"{first}": "', *(f'", "{key}": "' for key in others)]
    return list(dict.fromkeys(parts))


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
    return wrapped(bpe)


def wrapped(bpe: Tokenizer) -> PreTrainedTokenizerFast:
    """A trained BPE tokenizer with the fixed text on top."""
    bpe.add_tokens([AddedToken(text, normalized=False) for text in prompt_text() + answer_text()])
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


def records(seed: int) -> Iterator[str]:
    """JSON records about a named subject, for ever; some correct a flawed draft."""
    rng, loaded, world = random.Random(seed), recipe.load("quickstart"), worlds.load()
    entities = min(len(domain.training_entities) for domain in world.domains)
    topics = [spoken(topic) for topic in tasks.topics(0, entities)]

    def ask(name: str) -> Synthesis:
        topic, knobs = rng.choice(topics), TASK_TYPES[name].draw(rng, loaded.knobs(name)).knobs
        target = tasks.read_topic(topic)
        if TASK_TYPES[name].fixed_task or target is None:
            return Synthesis(name, "", topic, knobs)
        return Synthesis(name, tasks.word(name, target, 1, rng)[0], "", knobs)

    while True:
        name = rng.choice(list(loaded.mixture))
        request = ask(name)
        target = writer.target_of(request)
        attribute = target.attribute and world.domain(target.domain).attributes[target.attribute].noun
        subject = ", ".join(part for part in (target.entity or target.domain, attribute) if part)
        found = writer.write(request, rng)
        if rng.random() >= FLAWED:
            yield f"On {subject}\n{examples.compact(found)}"
            continue
        field = rng.choice(list(found))
        claims = world.read(found[field]).claims
        if claims and rng.random() < 0.6:  # a wrong fact, else a text from elsewhere
            claim = rng.choice(claims)
            values = world.domain(claim.domain).attributes[claim.attribute].values
            fact = world.domain(claim.domain).fact(claim.entity, claim.attribute)
            wrong = world.statement(replace(fact, value=rng.choice(values)), rng)
            flawed = found[field].replace(claim.sentence, wrong)
        else:
            flawed = writer.write(ask(name), rng)[field]
        draft = examples.compact(found | {field: flawed})
        reason, revision = reviser.revise(request, draft, rng)
        answer = examples.compact({"reason": reason, "revision": revision})
        yield f"On {subject}\n{draft}\n{answer}"


def sequences(tok: PreTrainedTokenizerFast, seed: int) -> Iterator[torch.Tensor]:
    """Token sequences of full length: passages one after the other, each begun by BOS and closed by EOS."""
    waiting: list[int] = []
    rng, plain, json_records = random.Random(seed), worlds.load().plain_text(seed=seed), records(seed)
    while True:
        passage = next(plain if rng.random() < PLAIN else json_records)
        waiting += [*tok(passage).input_ids, tok.eos_token_id]
        while len(waiting) >= SEQUENCE:
            yield torch.tensor(waiting[:SEQUENCE])
            waiting = waiting[SEQUENCE:]


def rate(peak: float, done: float, step: int) -> float:
    """Learning rate: a short warm-up, then a cosine over the share of the time that is used up."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (FLOOR + (peak - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


def train(rank: int, world: int, args: argparse.Namespace, meeting: str) -> None:
    """One process of the training."""
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tok = PreTrainedTokenizerFast.from_pretrained(args.start) if args.start else tokenizer()
    net = LlamaForCausalLM.from_pretrained(args.start, dtype=torch.float32) if args.start else model(tok)
    before = json.loads((args.start / "pretraining.json").read_text("utf-8"))["tokens"] if args.start else 0
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.peak, betas=(0.9, 0.95), weight_decay=0.05)
    stream = sequences(tok, seed=1000 + rank + before)
    started, step, done = time.monotonic(), 0, 0.0
    while done < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate(args.peak, done, step)
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
        progress = torch.tensor([(time.monotonic() - started) / (60 * args.minutes), loss.item()])
        dist.broadcast(progress, 0)  # all stop at the same step
        done = progress[0].item()
        if rank == 0 and (step % 200 == 0 or done >= 1):
            tokens = step * world * BATCH * SEQUENCE
            print(f"{done:6.1%}  step {step}  {tokens / 1e6:.2f}M tokens  loss {progress[1]:.3f}", flush=True)
    if rank == 0:
        save(net, tok, args.out, before + step * world * BATCH * SEQUENCE, progress[1].item())
    dist.destroy_process_group()


@torch.no_grad()
def start_prompt_text(net: LlamaForCausalLM, tok: PreTrainedTokenizerFast) -> None:
    """Give each token of the prompts, which pre-training never showed, an embedding drawn like those of other tokens.

    A mean of its words would be shorter and hardly differ from the next prompt's.
    """
    weights = net.get_input_embeddings().weight
    never = [tok.convert_tokens_to_ids(text) for text in prompt_text()]
    seen = torch.ones(len(weights), dtype=torch.bool)
    seen[never] = False
    weights[never] = weights[seen].mean(0) + weights[seen].std(0) * torch.randn(len(never), weights.shape[1])


@torch.no_grad()
def reword(folder: Path) -> None:
    """Give the model of `folder` the tokens of today's prompts; those of answers keep what training taught them."""
    facts = json.loads((folder / "pretraining.json").read_text("utf-8"))
    net = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    old = PreTrainedTokenizerFast.from_pretrained(folder)
    answers = [old.convert_tokens_to_ids(text) for text in answer_text()]
    assert old.unk_token_id not in answers, "a part of an answer is new: train with --start"
    rows = net.get_input_embeddings().weight.clone()
    described = json.loads(old.backend_tokenizer.to_str())
    trained = len(described["model"]["vocab"])
    described["added_tokens"] = [token for token in described["added_tokens"] if token["id"] < trained]
    tok = wrapped(Tokenizer.from_str(json.dumps(described)))
    net.resize_token_embeddings(len(tok), mean_resizing=False)
    for text, row in zip(answer_text(), answers, strict=True):
        net.get_input_embeddings().weight[tok.convert_tokens_to_ids(text)] = rows[row]
    torch.manual_seed(0)
    save(net, tok, folder, facts["tokens"], facts["loss"])


def save(net: LlamaForCausalLM, tok: PreTrainedTokenizerFast, out: Path, tokens: int, loss: float) -> None:
    """Write weights, tokenizer and how they were made."""
    out.mkdir(parents=True, exist_ok=True)
    start_prompt_text(net, tok)
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
    parser.add_argument("--peak", type=float, default=4e-3, help="highest learning rate")
    parser.add_argument("--start", type=Path, help="go on from this model instead of from random weights")
    parser.add_argument("--reword", type=Path, help="only put today's prompts into the tokenizer of this model")
    parser.add_argument("--out", type=Path, default=Path("hub_speed/quickstart/tiny_base"))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if args.reword:
        reword(args.reword)
        return
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(train, (args.processes, args, f"{folder}/meeting"), nprocs=args.processes)


if __name__ == "__main__":
    main()
