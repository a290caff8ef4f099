"""Prompts and answers as tokens: the same as a server makes, too long or not, in which order."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tiny_training import PREFERENCES, ROWS, refused
from tiny_training import generator_settings as settings
from transformers import AutoTokenizer

from hub_speed.errors import StageError
from hub_speed.llm.dialects import Request, Sampling, body
from hub_speed.llm.embedded_server import read_request
from hub_speed.training.generator import dpo, sft, tokens


@pytest.mark.parametrize("prompt_format", ["chat", "{prompt} [/INST]", "<<{prompt}>>"])
def test_training_asks_with_the_tokens_that_a_server_makes(chat_base: Path, prompt_format: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(chat_base)
    example = tokens.encode(tokenizer, ROWS[:1], ["completion"], prompt_format)[0]
    chat = prompt_format == "chat"
    request = Request(ROWS[0]["prompt"], Sampling(1.0, 1.0, 8))
    sent = body("chat" if chat else "completion", request, "m", "{prompt}" if chat else prompt_format)
    assert example.prompt == read_request(sent, tokenizer, 128, chat).tokens
    answer = example.answers[0]
    assert answer[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(answer[:-1]) == ("" if chat else " ") + ROWS[0]["completion"]
    assert example.prompt.count(tokenizer.bos_token_id) == 1


def test_a_tokenizer_without_a_fit_template_is_refused(decoder: Path, chat_base: Path, tmp_path: Path) -> None:
    error = refused(sft, settings(tmp_path / "none", decoder, ROWS, prompt_format="chat"))
    assert "has no chat template" in str(error) and "generator.prompt_format={prompt} [/INST]" in error.fix
    tokenizer = AutoTokenizer.from_pretrained(chat_base)
    tokenizer.chat_template = "{{ raise_exception('system is not a role') }}"
    with pytest.raises(StageError, match="cannot be used") as caught:
        tokens.encode(tokenizer, ROWS[:1], ["completion"], "chat")
    assert "system is not a role" in caught.value.got


def test_a_format_whose_end_joins_the_answer_is_refused(decoder: Path) -> None:
    # " " and " {" are read apart, but two spaces are read together: the prompt would be other tokens in training
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    rows = [{"id": "a", "prompt": "the", "completion": "the quick"}]
    tokenizer.add_tokens(["  "])
    with pytest.raises(StageError, match="last token changes") as caught:
        tokens.encode(tokenizer, rows, ["completion"], "{prompt} ")
    assert "generator.prompt_format" in caught.value.fix


LONG = {"id": "long", "prompt": "say it", "completion": "fox " * 60}


def test_rows_that_are_too_long_are_dropped_or_cut_and_counted(decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    endless = {"id": "prompt", "prompt": "fox " * 80, "completion": "fox"}
    examples = tokens.encode(tokenizer, [ROWS[0], LONG, endless], ["completion"], "{prompt} [/INST]")
    kept, counts = tokens.sift(examples, 40, "drop")
    assert counts == {"rows": 1, "rows_dropped_too_long": 2, "rows_cut_off": 0}
    assert [example.length for example in kept] == [examples[0].length]
    kept, counts = tokens.sift(examples, 40, "truncate")
    assert counts == {"rows": 2, "rows_dropped_too_long": 1, "rows_cut_off": 1}
    assert kept[1].length == 40 and tokenizer.eos_token_id not in kept[1].answers[0]
    with pytest.raises(StageError, match="all 3 rows are longer than 5 tokens") as caught:
        tokens.sift(examples, 5, "drop")
    assert "max_length" in caught.value.fix


def test_every_epoch_has_every_row_once_and_batches_are_of_a_length() -> None:
    lengths = [(7 * i) % 50 for i in range(100)]
    found = tokens.order(lengths, epochs=2.5, batch_size=4, by_length=True, rng_seed=3)
    assert [sorted(found[:100]), sorted(found[100:200])] == [list(range(100))] * 2
    assert len(found) == 250 and found[:100] != found[100:200]
    spread = [max(part) - min(part) for part in ([lengths[j] for j in found[i : i + 4]] for i in range(0, 100, 4))]
    assert sum(spread) / len(spread) < 10
    assert found == tokens.order(lengths, epochs=2.5, batch_size=4, by_length=True, rng_seed=3)
    assert found != tokens.order(lengths, epochs=2.5, batch_size=4, by_length=False, rng_seed=3)


def test_rows_that_are_not_there_are_refused(decoder: Path, tmp_path: Path) -> None:
    error = refused(sft, settings(tmp_path / "empty", decoder, []))
    assert "no rows to train on" in str(error) and "--state rejected" in error.fix
    error = refused(sft, settings(tmp_path / "columns", decoder, [{"id": "1", "prompt": "a", "text": "b"}]))
    assert "no column completion" in str(error) and error.got == "id, prompt, text"
    error = refused(dpo, settings(tmp_path / "null", decoder, [PREFERENCES[0] | {"chosen": None}, PREFERENCES[1]]))
    assert "row 000 has no text" in str(error)
