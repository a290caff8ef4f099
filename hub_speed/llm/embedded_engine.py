"""The model of the embedded server, and its running batch.

Batching is continuous: prompts join a running batch as soon as there is room, rows leave it when they end. Every answer
draws its tokens from its own RNG, so a seed gives the same answer whatever else is in the batch (up to the
rounding of floating-point sums).
"""

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicLayer

ROOM = 64  # columns of the cache that are added at a time. Assumption: a quarter of a usual answer
LIKELIEST = 64  # tokens among which the nucleus is looked for first; sorting all of them takes 15 times as long


def load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model in eval mode and its tokenizer; safetensors only, no code from the repository."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    return model.train(False), AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


@dataclass
class Ask:
    """One prompt to be answered `n` times."""

    tokens: list[int]
    n: int
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    stop: tuple[str, ...]
    answers: list["RunningAnswer"] = field(default_factory=list)
    done: "Future[list[RunningAnswer]]" = field(default_factory=Future)


@dataclass
class RunningAnswer:
    """One answer as it grows: its tokens, and the uniform draws that will choose them."""

    ask: Ask
    draws: np.ndarray
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""


class Engine:
    """Runs the model in one thread; `submit` may be called from any.

    Args:
        model: a causal language model in eval mode.
        tokenizer: its tokenizer.
        batch: answers written at the same time.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: int) -> None:
        self.model, self.tokenizer, self.batch = model, tokenizer, batch
        self.context = int(model.config.max_position_embeddings)
        self._eos = _eos_ids(model, tokenizer)
        self._pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(self._eos))
        self._queue: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._waiting: list[Ask] = []
        # The running batch: B answers, their cache, mask_BT over its columns and the next token of each.
        self._answers: list[RunningAnswer] = []
        self._cache = _cache()
        self._mask_BT = torch.zeros(0, 0, dtype=torch.long)
        self._next_B1 = torch.zeros(0, 1, dtype=torch.long)
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, ask: Ask) -> "Future[list[RunningAnswer]]":
        """Queue a prompt; the future holds its `n` answers."""
        self._queue.put(ask)
        return ask.done

    @torch.inference_mode()
    def _run(self) -> None:
        while True:
            self._take()
            try:
                self._admit()
                if self._answers:
                    self._step()
            except Exception as error:  # the batch is lost; everyone who waits is told
                for ask in {id(a.ask): a.ask for a in self._answers}.values():
                    if not ask.done.done():
                        ask.done.set_exception(error)
                self._answers, self._cache = [], _cache()

    def _take(self) -> None:
        """Move what was submitted into the waiting list; sleep when there is nothing to do at all."""
        if not self._answers and not self._waiting:
            self._waiting.append(self._queue.get())
        while not self._queue.empty():
            self._waiting.append(self._queue.get())

    def _admit(self) -> None:
        """Read waiting prompts and join them to the batch, once a quarter of it is free.

        Reading few prompts at a time is slow; the shortest wait is traded for full batches.
        """
        free = self.batch - sum(not answer.finish_reason for answer in self._answers)
        if not self._waiting or (self._answers and free * 4 < self.batch):
            return
        admitted: list[Ask] = []
        while self._waiting and (not admitted or sum(a.n for a in admitted) + self._waiting[0].n <= free):
            admitted.append(self._waiting.pop(0))
        width = max(len(ask.tokens) for ask in admitted)
        rows = [[self._pad] * (width - len(ask.tokens)) + ask.tokens for ask in admitted]
        mask = torch.tensor([[0] * (width - len(ask.tokens)) + [1] * len(ask.tokens) for ask in admitted])
        cache = _cache()
        output = self.model(
            input_ids=torch.tensor(rows),
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        answers = []
        for ask in admitted:
            for i in range(ask.n):
                draws = np.random.default_rng([ask.seed, i]).random(ask.max_tokens)
                answers.append(RunningAnswer(ask, draws))
            ask.answers = answers[-ask.n :]
        repeats = torch.tensor([ask.n for ask in admitted])
        index = torch.repeat_interleave(torch.arange(len(admitted)), repeats)
        for layer in _layers(cache):
            layer.keys, layer.values = layer.keys[index], layer.values[index]
        self._join(answers, cache, mask[index], self._sample(output.logits[index, -1].float(), answers))
        self._retire()

    def _join(
        self, answers: list[RunningAnswer], cache: DynamicCache, mask: torch.Tensor, chosen: torch.Tensor
    ) -> None:
        """Put new rows under the running ones; the narrower of the two is padded on the left."""
        if self._answers:
            width = max(mask.shape[1], self._mask_BT.shape[1])
            for mine, theirs in zip(_layers(self._cache), _layers(cache), strict=True):
                mine.keys = torch.cat([_widen(mine.keys, width), _widen(theirs.keys, width)])
                mine.values = torch.cat([_widen(mine.values, width), _widen(theirs.values, width)])
            pads = [torch.nn.functional.pad(m, (width - m.shape[1], 0)) for m in (self._mask_BT, mask)]
            self._mask_BT = torch.cat(pads)
            self._next_B1 = torch.cat([self._next_B1, chosen])
        else:
            self._cache, self._mask_BT, self._next_B1 = cache, mask, chosen
        self._answers += answers

    def _step(self) -> None:
        """One more token for every running answer."""
        positions = self._mask_BT.sum(1, keepdim=True)
        self._mask_BT = torch.nn.functional.pad(self._mask_BT, (0, 1), value=1)
        output = self.model(
            input_ids=self._next_B1,
            attention_mask=self._mask_BT,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._next_B1 = self._sample(output.logits[:, -1].float(), self._answers)
        self._retire()

    def _sample(self, logits_BV: torch.Tensor, answers: list[RunningAnswer]) -> torch.Tensor:
        """Draw the next token of each answer, append it, and say which answers have ended. Returns tokens_B1."""
        temperature = torch.tensor([[max(a.ask.temperature, 1e-6)] for a in answers])
        probs_BV = (logits_BV / temperature).softmax(-1)
        if any(a.ask.top_p < 1 for a in answers):
            probs_BV = _nucleus(probs_BV, torch.tensor([[a.ask.top_p] for a in answers]))
        draws = torch.tensor([[a.draws[min(len(a.tokens), len(a.draws) - 1)]] for a in answers], dtype=probs_BV.dtype)
        cumulative = probs_BV.cumsum(-1)
        drawn = (cumulative <= draws * cumulative[:, -1:]).sum(-1).clamp(max=probs_BV.shape[1] - 1)
        greedy = torch.tensor([a.ask.temperature == 0 for a in answers])
        chosen_B = torch.where(greedy, logits_BV.argmax(-1), drawn)
        for answer, token in zip(answers, chosen_B.tolist(), strict=True):
            self._grow(answer, token)
        return chosen_B[:, None]

    def _grow(self, answer: RunningAnswer, token: int) -> None:
        if answer.finish_reason:
            return
        if token in self._eos:
            answer.finish_reason = "stop"
            return
        answer.tokens.append(token)
        ask = answer.ask
        if ask.stop and any(s in self.tokenizer.decode(answer.tokens) for s in ask.stop):
            answer.finish_reason = "stop"
        elif len(answer.tokens) >= ask.max_tokens or len(ask.tokens) + len(answer.tokens) >= self.context:
            answer.finish_reason = "length"

    def _retire(self) -> None:
        """Take ended answers out of the batch, and columns that no row uses any more."""
        for answer in self._answers:
            ask = answer.ask
            if answer.finish_reason and not ask.done.done() and all(a.finish_reason for a in ask.answers):
                ask.done.set_result(ask.answers)
        keep = [i for i, answer in enumerate(self._answers) if not answer.finish_reason]
        ended = len(self._answers) - len(keep)
        if not ended or (keep and ended * 8 < len(self._answers)):
            return  # taking rows out copies the whole cache: a few ended ones may stay for a while
        self._answers = [self._answers[i] for i in keep]
        index = torch.tensor(keep, dtype=torch.long)
        self._mask_BT, self._next_B1 = self._mask_BT[index], self._next_B1[index]
        unused = int(self._mask_BT.argmax(1).min()) if keep else 0
        self._mask_BT = self._mask_BT[:, unused:]
        for layer in _layers(self._cache):
            layer.keys, layer.values = layer.keys[index, :, unused:], layer.values[index, :, unused:]

    def text(self, answer: RunningAnswer) -> str:
        """The answer's text, cut before the first stop string."""
        text = str(self.tokenizer.decode(answer.tokens, skip_special_tokens=True))
        for stop in answer.ask.stop:
            text = text.split(stop, 1)[0]
        return text


class _RoomyLayer(DynamicLayer):
    """A layer's keys_BHTD and values_BHTD with room for later tokens: most steps write one column and copy nothing.

    Whoever replaces `keys` and `values` gets room again at the next step.
    """

    _room: tuple[torch.Tensor, torch.Tensor]  # both, with columns that are still free
    _shown: torch.Tensor | None = None  # the part of the first that `keys` was when it was last written here

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the new keys and values; returns all of them."""
        start = self.get_seq_length()
        if not start:
            return super().update(key_states, value_states, *args, **kwargs)
        assert self.keys is not None and self.values is not None, "start is above 0"
        end = start + key_states.shape[2]
        if self.keys is not self._shown or end > self._room[0].shape[2]:
            self._room = (_with_room(self.keys, end), _with_room(self.values, end))
        keys, values = self._room
        keys[:, :, start:end], values[:, :, start:end] = key_states, value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        self._shown = self.keys
        return self.keys, self.values


def _with_room(cache_BHTD: torch.Tensor, width: int) -> torch.Tensor:
    """`cache` in the first columns of a tensor for `width` columns and `ROOM` more."""
    return torch.nn.functional.pad(cache_BHTD, (0, 0, 0, width + ROOM - cache_BHTD.shape[2]))


def _cache() -> DynamicCache:
    """An empty cache whose layers leave room for later tokens."""
    cache = DynamicCache()
    cache.layer_class_to_replicate = _RoomyLayer
    return cache


def _eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    ids = {tokenizer.eos_token_id}
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids |= set(configured if isinstance(configured, list) else [configured])
    return {i for i in ids if i is not None}


def _layers(cache: DynamicCache) -> list[Any]:
    """The cache's layers; each has keys_BHTD and values_BHTD once something was read."""
    return list(cache.layers)


def _widen(cache_BHTD: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(cache_BHTD, (0, 0, width - cache_BHTD.shape[2], 0))


def _nucleus(probs_BV: torch.Tensor, top_p_B1: torch.Tensor) -> torch.Tensor:
    """Probabilities with everything outside the smallest set that holds `top_p` of the mass set to 0."""
    kept_BV, complete_B = _nucleus_among(min(LIKELIEST, probs_BV.shape[1]), probs_BV, top_p_B1)
    if not complete_B.all():
        rest = ~complete_B
        kept_BV[rest] = _nucleus_among(probs_BV.shape[1], probs_BV[rest], top_p_B1[rest])[0]
    return kept_BV


def _nucleus_among(count: int, probs_BV: torch.Tensor, top_p_B1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same among the `count` likeliest tokens, and for which rows these hold `top_p` of the mass."""
    ordered, index = probs_BV.topk(count)
    before = ordered.cumsum(-1) - ordered
    kept = torch.zeros_like(probs_BV).scatter(-1, index, ordered.masked_fill(before >= top_p_B1, 0))
    return kept, ordered.sum(-1) >= top_p_B1[:, 0]
