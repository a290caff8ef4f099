"""Fine-tuning of generators on tiny models: what is learnt, what survives a kill, what is said when it cannot work."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from tiny_models import make_model  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from hub_speed.errors import StageError  # noqa: E402
from hub_speed.llm.dialects import Request, Sampling, body  # noqa: E402
from hub_speed.llm.embedded_server import read_request  # noqa: E402
from hub_speed.recipe import Recipe  # noqa: E402
from hub_speed.training.generator import common, dpo, sft, tokens  # noqa: E402
from hub_speed.training.process.checkpoints import last  # noqa: E402
from hub_speed.training.process.launch import environment, launch  # noqa: E402

PAIRS = [(f"say {word}", f'{{"word": "{word}"}}') for word in ("fox", "dog", "quick", "lazy", "brown", "over")] * 4
ROWS = [{"id": f"{i:03d}", "prompt": p, "completion": c} for i, (p, c) in enumerate(PAIRS)]
PREFERENCES = [
    {"id": f"{i:03d}", "prompt": f"say {w}", "chosen": f'{{"word": "{w}"}}', "rejected": f"{w} {w} no"}
    for i, w in enumerate(["fox", "dog", "quick", "lazy"] * 6)
]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


def settings(folder: Path, base: Path, rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """What `train_generator` hands on, for rows in a folder."""
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "train-00000.parquet")
    section = "senior" if rows and "chosen" in rows[0] else "junior"
    plain = getattr(Recipe(name="x"), section).model_dump() | {
        "section": section,
        "base": str(base),
        "base_name": "org/base",
        "base_revision": "0" * 40,
        "data": str(folder / "data"),
        "out": str(folder / "out"),
        "work": str(folder / "work"),
        "prompt_format": "{prompt} [/INST]",
        "rng_seed": 1,
        "micro_batch_size": None,
        "gradient_checkpointing": True,
        "checkpoint_s": 600,
    }
    tiny = {"learning_rate": 3e-3, "batch_size": 8, "epochs": 2, "max_length": 64, "warmup_ratio": 0.0, "lora_r": 0}
    return plain | tiny | {"lora_dropout": 0.0} | changes


def nlls(folder: Path, prompt: str, completion: str) -> "torch.Tensor":
    """By hand: what each token of the answer costs, and then the end."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    start = len(tokenizer(prompt).input_ids)
    ids = torch.tensor([[*tokenizer(prompt + completion).input_ids, tokenizer.eos_token_id]])
    with torch.inference_mode():
        logp = torch.log_softmax(model(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
    return -logp[start - 1 :]


def refused(module: Any, given: dict[str, Any]) -> StageError:
    with pytest.raises(StageError) as caught:
        module.train(given)
    assert not list(Path(given["out"]).glob("*"))
    return caught.value


def same(one: Path, other: Path) -> float:
    """The largest difference between two models' weights."""
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


# --- what is learnt ---------------------------------------------------------------------------------------------------


def test_sft_learns_completions_in_the_prompt_format(base: Path, tmp_path: Path) -> None:
    result = sft.train(settings(tmp_path, base, ROWS, epochs=12))
    assert (result["rows"], result["steps"], result["rows_dropped_too_long"]) == (24, 36, 0)
    assert result["loss_curve"][-1][1] < 0.5 * result["loss_curve"][0][1]
    asked = ("say fox [/INST]", ' {"word": "fox"}')
    assert nlls(tmp_path / "out", *asked).mean() < 0.5 * nlls(base, *asked).mean()
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json"] * 4 + [".safetensors"]
    assert (result["trained"], result["devices"]) == ("all weights", "1 x CPU")
    assert 0 < result["device_seconds"] < 300


def test_the_loss_is_that_of_the_completions_alone(base: Path, tmp_path: Path) -> None:
    rows = [ROWS[0], {"id": "x", "prompt": "the lazy dog jumps over", "completion": '{"word": "brown fox"}'}]
    given = settings(tmp_path, base, rows, batch_size=2, epochs=1, learning_rate=1e-9)
    expected = torch.cat([nlls(base, f"{row['prompt']} [/INST]", f" {row['completion']}") for row in rows])
    result = sft.train(given)
    assert abs(result["loss_curve"][0][1] - expected.mean().item()) < 1e-3
    tokenizer = AutoTokenizer.from_pretrained(base)
    lengths = [len(tokenizer(f"{row['prompt']} [/INST] {row['completion']}").input_ids) + 1 for row in rows]
    assert result["tokens"] == sum(lengths)
    assert len(expected) < result["tokens"]


def test_an_adapter_is_published_beside_merged_weights_that_equal_base_plus_adapter(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    result = sft.train(settings(tmp_path, base, ROWS, lora_r=4, lora_dropout=0.1))
    assert result["trained"] == "adapter, r 4"
    adapter = tmp_path / "out" / "adapter"
    assert not list(tmp_path.glob("out/**/*.bin"))
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", "0" * 40)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    joined = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    untrained = AutoModelForCausalLM.from_pretrained(base)
    ids = torch.tensor([[1, 20, 30, 40, 50]])
    with torch.inference_mode():
        difference = (merged(ids).logits - joined(ids).logits).abs().max().item()
        moved = (merged(ids).logits - untrained(ids).logits).abs().max().item()
    assert difference < 1e-4 < moved


def test_dpo_raises_the_margin_of_the_chosen(base: Path, tmp_path: Path) -> None:
    result = dpo.train(settings(tmp_path, base, PREFERENCES, epochs=8))
    assert result["rewards"]["margins"] > 0.5 and result["rewards"]["accuracies"] > 0.9
    assert result["loss_curve"][0][1] > result["loss_curve"][-1][1]

    def margin(folder: Path) -> float:
        chosen, rejected = (nlls(folder, "say fox [/INST]", text).sum() for text in (' {"word": "fox"}', " fox fox no"))
        return (rejected - chosen).item()

    # The reward is beta times how much likelier an answer has become than it was before.
    gained = margin(tmp_path / "out") - margin(base)
    assert gained > 5
    assert (result["rows"], result["steps"]) == (24, 24)


def test_dpo_starts_from_a_loss_of_log_2_against_the_frozen_start(base: Path, tmp_path: Path) -> None:
    result = dpo.train(settings(tmp_path, base, PREFERENCES[:4], batch_size=4, epochs=1, lora_r=4))
    assert abs(result["loss_curve"][0][1] - 0.6931) < 1e-3
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("schedule", "share"),
    [
        ("cosine", lambda done: (1 + math.cos(math.pi * done)) / 2),
        ("linear", lambda done: 1 - done),
        ("constant_with_warmup", lambda done: 1),
    ],
)
def test_the_learning_rate_follows_the_schedule(schedule: str, share: Any, base: Path, tmp_path: Path) -> None:
    sft.train(settings(tmp_path, base, ROWS, checkpoint_s=0, schedule=schedule))  # six steps
    kept, _ = last(tmp_path / "work")
    assert kept
    log = json.loads((kept / "trainer_state.json").read_text())["log_history"]
    assert [entry["learning_rate"] / 3e-3 for entry in log] == pytest.approx([share(i / 6) for i in range(5)])


@pytest.mark.parametrize(("module", "rows"), [(sft, ROWS), (dpo, PREFERENCES)], ids=["sft", "dpo"])
def test_gradient_checkpointing_changes_no_result(module: Any, rows: list, base: Path, tmp_path: Path) -> None:
    changes = {"lora_r": 4, "lora_dropout": 0.1, "epochs": 1}
    module.train(settings(tmp_path / "kept", base, rows, gradient_checkpointing=False, **changes))
    module.train(settings(tmp_path / "again", base, rows, gradient_checkpointing=True, **changes))
    assert same(tmp_path / "kept/out", tmp_path / "again/out") < 1e-5 < same(tmp_path / "kept/out", base)


@pytest.mark.parametrize(("module", "rows"), [(sft, ROWS), (dpo, PREFERENCES)], ids=["sft", "dpo"])
def test_a_micro_batch_changes_no_result_but_rounding(module: Any, rows: list, base: Path, tmp_path: Path) -> None:
    whole = settings(tmp_path / "whole", base, rows, batch_size=8, epochs=1)
    parts = settings(tmp_path / "parts", base, rows, batch_size=8, epochs=1, micro_batch_size=3)
    assert common.arguments(parts)["per_device_train_batch_size"] == 2  # the largest share of 8 that is not above 3
    assert common.arguments(parts)["gradient_accumulation_steps"] == 4
    module.train(whole)
    module.train(parts)
    assert same(tmp_path / "whole/out", tmp_path / "parts/out") < 1e-5
    assert same(tmp_path / "whole/out", base) > 1e-3


# --- what a model is asked with ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chat_base(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


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


def test_training_with_the_chat_template_is_learnt(chat_base: Path, tmp_path: Path) -> None:
    result = sft.train(settings(tmp_path, chat_base, ROWS, prompt_format="chat", epochs=8, max_length=100))
    assert result["loss_curve"][-1][1] < 0.6 * result["loss_curve"][0][1]
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == TEMPLATE


def test_a_tokenizer_without_a_fit_template_is_refused(base: Path, chat_base: Path, tmp_path: Path) -> None:
    error = refused(sft, settings(tmp_path / "none", base, ROWS, prompt_format="chat"))
    assert "has no chat template" in str(error) and "generator.prompt_format={prompt} [/INST]" in error.fix
    tokenizer = AutoTokenizer.from_pretrained(chat_base)
    tokenizer.chat_template = "{{ raise_exception('system is not a role') }}"
    with pytest.raises(StageError, match="cannot be used") as caught:
        tokens.encode(tokenizer, ROWS[:1], ["completion"], "chat")
    assert "system is not a role" in caught.value.got


def test_a_format_whose_end_joins_the_answer_is_refused(base: Path) -> None:
    # " " and " {" are read apart, but two spaces are read together: the prompt would be other tokens in training
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = [{"id": "a", "prompt": "the", "completion": "the quick"}]
    tokenizer.add_tokens(["  "])
    with pytest.raises(StageError, match="last token changes") as caught:
        tokens.encode(tokenizer, rows, ["completion"], "{prompt} ")
    assert "generator.prompt_format" in caught.value.fix


# --- rows that do not fit ---------------------------------------------------------------------------------------------

LONG = {"id": "long", "prompt": "say it", "completion": "fox " * 60}


def test_rows_that_are_too_long_are_dropped_or_cut_and_counted(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
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


def test_no_row_is_longer_than_what_the_base_reads(base: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, base, [*ROWS[:7], LONG | {"completion": "fox " * 200}], max_length=4096, epochs=1)
    assert sft.train(given)["rows_dropped_too_long"] == 1  # the base reads 128 tokens


def test_every_epoch_has_every_row_once_and_batches_are_of_a_length() -> None:
    lengths = [(7 * i) % 50 for i in range(100)]
    found = tokens.order(lengths, epochs=2.5, batch_size=4, by_length=True, rng_seed=3)
    assert [sorted(found[:100]), sorted(found[100:200])] == [list(range(100))] * 2
    assert len(found) == 250 and found[:100] != found[100:200]
    spread = [max(part) - min(part) for part in ([lengths[j] for j in found[i : i + 4]] for i in range(0, 100, 4))]
    assert sum(spread) / len(spread) < 10
    assert found == tokens.order(lengths, epochs=2.5, batch_size=4, by_length=True, rng_seed=3)
    assert found != tokens.order(lengths, epochs=2.5, batch_size=4, by_length=False, rng_seed=3)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_rows_that_are_not_there_are_refused(base: Path, tmp_path: Path) -> None:
    error = refused(sft, settings(tmp_path / "empty", base, []))
    assert "no rows to train on" in str(error) and "--state rejected" in error.fix
    error = refused(sft, settings(tmp_path / "columns", base, [{"id": "1", "prompt": "a", "text": "b"}]))
    assert "no column completion" in str(error) and error.got == "id, prompt, text"
    error = refused(dpo, settings(tmp_path / "null", base, [PREFERENCES[0] | {"chosen": None}, PREFERENCES[1]]))
    assert "row 000 has no text" in str(error)


def test_weights_that_are_pickles_are_never_loaded(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(base)
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    error = refused(sft, settings(tmp_path, folder, ROWS))
    assert "org/base: there are no safetensors weights" in str(error) and error.got == "pytorch_model.bin"


def test_a_base_whose_answers_could_not_end_is_refused_and_padding_is_not_needed(base: Path, tmp_path: Path) -> None:
    for missing in ("pad_token", "eos_token"):
        folder = tmp_path / missing
        AutoModelForCausalLM.from_pretrained(base).save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(base)
        setattr(tokenizer, missing, None)
        tokenizer.save_pretrained(folder)
    assert sft.train(settings(tmp_path / "a", tmp_path / "pad_token", ROWS[:8], epochs=1))["rows"] == 8
    error = refused(sft, settings(tmp_path / "b", tmp_path / "eos_token", ROWS))
    assert "no end-of-sequence token" in str(error) and "eos_token" in error.expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="is possible there")
def test_what_needs_a_gpu_says_so(base: Path, tmp_path: Path) -> None:
    error = refused(sft, settings(tmp_path / "a", base, ROWS, batching="packed"))
    assert "needs FlashAttention 2" in str(error) and error.fix == "--set junior.batching=by_length"
    error = refused(sft, settings(tmp_path / "b", base, ROWS, lora_r=4, load_in_4bit=True))
    assert "needs a CUDA GPU" in str(error) and error.fix == "--set junior.load_in_4bit=false"


def test_a_loss_that_is_no_number_stops_with_its_step_and_keeps_the_checkpoint(base: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, base, ROWS, epochs=4, learning_rate=1e12, checkpoint_s=0)
    error = refused(sft, given)
    assert "the loss is nan at step " in error.where or "the loss is inf at step " in error.where
    assert error.fix == "lower the learning rate, which is 1e+12: --set junior.learning_rate=5e+11"
    kept, _ = last(tmp_path / "work")
    assert kept and str(kept) in error.got
    assert all(torch.isfinite(tensor).all() for tensor in load_file(kept / "model.safetensors").values())


@pytest.mark.parametrize(("rows", "fix"), [(8, "--set runtime.micro_batch_size=4"), (1, "a smaller junior.max_length")])
def test_memory_that_runs_out_names_a_smaller_micro_batch(rows: int, fix: str, base: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, base, ROWS, batch_size=8, micro_batch_size=rows)
    with pytest.raises(StageError, match=f"does not suffice for {rows} row") as caught, common.explained(given):
        torch.empty(1 << 50)
    assert caught.value.fix.startswith(fix) and "allocate memory" in caught.value.got
    with pytest.raises(RuntimeError, match="else"), common.explained(given):
        raise RuntimeError("something else")


# --- in a process of its own ------------------------------------------------------------------------------------------


def start(module: str, given: dict[str, Any], folder: Path) -> "subprocess.Popen[str]":
    path = folder / "settings.json"
    path.write_text(json.dumps(given))
    return subprocess.Popen(
        [sys.executable, "-m", f"hub_speed.training.generator.{module}", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )


def test_a_training_that_was_killed_ends_with_the_same_weights(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"epochs": 4, "checkpoint_s": 0, "lora_r": 4, "lora_dropout": 0.1}  # dropout: random states matter
    killed = settings(tmp_path / "killed", base, ROWS, **changes)
    process = start("sft", killed, tmp_path)
    assert process.stdout
    for line in process.stdout:  # of 12 steps; the second epoch is under way
        if line.startswith("@") and json.loads(line[1:]).get("step") == 5:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not Path(killed["out"]).exists()
    newest = tmp_path / "killed" / "work" / "checkpoint-9"
    newest.mkdir()  # as if it had been killed while it wrote this one
    (newest / "model.safetensors").write_bytes(b"half of")
    capsys.readouterr()
    resumed = sft.train(killed)
    said = [json.loads(line[1:]) for line in capsys.readouterr().out.splitlines() if line.startswith("@")]
    assert said[0]["total"] == 12 and 4 <= said[0]["done"] < 12  # it went on, and not from the beginning
    assert next(event for event in said if "step" in event)["step"] == said[0]["done"] + 1
    assert not newest.exists() or (newest / "complete.json").is_file()
    whole = sft.train(settings(tmp_path / "whole", base, ROWS, **changes))
    assert same(tmp_path / "killed/out", tmp_path / "whole/out") == 0.0
    assert resumed["loss_curve"] == whole["loss_curve"] and len(whole["loss_curve"]) == 12
    assert resumed["steps"] == 12 and resumed["tokens"] == whole["tokens"]
    # Nothing but tensors and numbers is read from what was kept.
    for path in (tmp_path / "killed" / "work").rglob("*.pt"):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize(("module", "rows"), [(sft, ROWS), (dpo, PREFERENCES)], ids=["sft", "dpo"])
def test_the_last_steps_again_give_the_same_weights(module: Any, rows: list, base: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, base, rows, epochs=2, checkpoint_s=0)
    first = module.train(given)
    checkpoints = sorted(path.name for path in (tmp_path / "work").glob("checkpoint-*"))
    assert checkpoints == ["checkpoint-4", "checkpoint-5"]  # of six steps, the last two that were before the end
    shutil.move(tmp_path / "out", tmp_path / "before")
    shutil.rmtree(tmp_path / "work" / "checkpoint-5")
    again = module.train(given)
    assert same(tmp_path / "before", tmp_path / "out") == 0.0
    assert again["loss_curve"] == first["loss_curve"]
    assert again["device_seconds"] >= json.loads((tmp_path / "work/checkpoint-4/complete.json").read_text())["seconds"]


def test_a_smaller_micro_batch_goes_on_from_the_checkpoint(base: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, base, ROWS, checkpoint_s=0, micro_batch_size=8)
    sft.train(given)
    shutil.move(tmp_path / "out", tmp_path / "before")
    shutil.rmtree(tmp_path / "work" / "checkpoint-5")
    assert len(sft.train(given | {"micro_batch_size": 2})["loss_curve"]) == 6
    assert same(tmp_path / "before", tmp_path / "out") < 1e-5


class Silent:
    """Progress that only remembers."""

    steps = 0

    def start(self, total: int, unit: str, done: int = 0) -> None: ...

    def advance(self, n: int) -> None:
        self.steps += n

    def note(self, text: str) -> None: ...


def context(folder: Path) -> Any:
    return SimpleNamespace(work=folder / "stage", progress=Silent(), stop=threading.Event(), threads=1)


def test_two_processes_train_together(base: Path, tmp_path: Path) -> None:
    ctx = context(tmp_path)
    given = settings(tmp_path / "two", base, ROWS, epochs=2)
    result = launch(ctx, "training.generator.sft", given, ["torchrun", "--standalone", "--nproc-per-node", "2"])
    assert (result["steps"], result["devices"], ctx.progress.steps) == (6, "2 x CPU", 6)
    sft.train(settings(tmp_path / "one", base, ROWS, epochs=2))
    assert same(tmp_path / "one/out", tmp_path / "two/out") < 1e-5 < same(tmp_path / "one/out", base)


def test_without_a_launcher_a_training_sees_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, seen in ((None, "0"), ("2,3", "2"), ("GPU-8f5a,GPU-1c2d", "GPU-8f5a"), ("1", "1"), ("", "")):
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert environment(3)["CUDA_VISIBLE_DEVICES"] == seen
        assert environment(3, ["torchrun"]).get("CUDA_VISIBLE_DEVICES") == visible
        assert environment(3)["OMP_NUM_THREADS"] == "3"


def test_an_error_of_a_training_arrives_as_one(base: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="training sft: the base model's tokenizer has no chat template") as caught:
        launch(context(tmp_path), "training.generator.sft", settings(tmp_path, base, ROWS, prompt_format="chat"))
    assert "generator.prompt_format" in caught.value.fix
    with pytest.raises(StageError, match=r"runtime\.launcher: no-such-program is not installed"):
        launch(context(tmp_path), "training.generator.sft", {}, ["no-such-program"])
