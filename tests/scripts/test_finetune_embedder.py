"""The script that fine-tunes a published embedder."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from huggingface_hub import HfApi  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer  # noqa: E402
from tiny_models import make_encoder, make_model  # noqa: E402
from tiny_training import some_rows  # noqa: E402

from hub_speed.localhub import LocalHub  # noqa: E402
from hub_speed.recipe import Embedder  # noqa: E402
from hub_speed.training.embedder import backbone  # noqa: E402

SCRIPT = Path(__file__).parents[2] / "scripts" / "finetune_embedder.py"
FEW = ("--batch-size", "8", "--learning-rate", "1e-3")


@pytest.fixture
def script(local: LocalHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the script against the embedded Hub; returns what it prints and the error it ends with."""
    spec = importlib.util.spec_from_file_location("finetune_embedder", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ENDPOINT", str(local.endpoint))
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", str(local.endpoint))

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["", *map(str, arguments)])
        capsys.readouterr()
        try:
            module.main()
        except (SystemExit, OSError) as error:
            print(error)
        return capsys.readouterr().out

    return run


def push(local: LocalHub, *folders: Path) -> HfApi:
    """A client of the Hub, on which these folders are now models of their names."""
    api = HfApi(endpoint=local.endpoint)
    for folder in folders:
        api.create_repo(f"me/{folder.name}")
        api.upload_folder(repo_id=f"me/{folder.name}", folder_path=folder)
    return api


def test_the_script_fine_tunes_on_pairs_alone_and_pushes_to_what_it_has_made(
    tmp_path: Path, local: LocalHub, script: Callable[..., str]
) -> None:
    model = backbone.embedder(make_model(tmp_path / "base"), 24)
    model.prompts = {"query": "Instruct: find it\nQuery: ", "document": ""}
    backbone.publish(model, tmp_path / "embedder")
    shutil.copytree(tmp_path / "embedder", tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(model[0].auto_model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    lines = [f"{row['query']},{row['positive']}" for row in some_rows(40)]
    (tmp_path / "plain.csv").write_text("\n".join(["query,positive", *lines]))
    (tmp_path / "labelled.csv").write_text("\n".join(["query,positive,label", *(f"{line},1" for line in lines)]))
    api = push(local, tmp_path / "embedder", tmp_path / "pickled")
    said = {
        out: script(f"me/{base}", tmp_path / f"{pairs}.csv", "--out", tmp_path / out, "--push", f"me/{to}", *FEW)
        for base, pairs, out, to in (
            ("embedder", "labelled", "first", "mine"),
            ("embedder", "plain", "second", "mine"),
            ("embedder", "plain", "third", "embedder"),
            ("pickled", "plain", "fourth", "other"),
        )
    }
    for out in ("first", "second"):
        assert "after:  nDCG@10" in said[out] and "pushed: me/mine@" in said[out]
    assert "me/embedder is there and not made by this script" in said["third"]
    assert "safetensors" in said["fourth"]
    assert "\nlicense: other\n" in (tmp_path / "first" / "README.md").read_text()  # the base names none
    assert not (tmp_path / "third").exists() and not (tmp_path / "fourth").exists()
    base, first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("embedder", "first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in base)  # a column of labels is not read
    assert max((first[name] - base[name]).abs().max() for name in base) > 1e-3
    assert {"README.md", "model.safetensors", "modules.json"} <= set(api.list_repo_files("me/mine"))
    assert len(api.list_repo_commits("me/mine")) == 3  # two pushes after the empty first one
    assert len(api.list_repo_commits("me/embedder")) == 2  # none to the base


def whole(folder: Path) -> SentenceTransformer:
    """An embedder of another build than ours: CLS pooling, a Dense module, prompts, cut to eight dimensions."""
    transformer = Transformer(str(make_encoder(folder / "encoder")), max_seq_length=32)
    modules = [transformer, Pooling(32, "cls"), Dense(32, 16), Normalize()]
    prompts = {"query": "find ", "passage": "and "}
    model = SentenceTransformer(modules=modules, prompts=prompts, truncate_dim=8, device="cpu")
    model.save_pretrained(str(folder / "whole"))
    return model


def test_an_embedder_keeps_its_modules_prompts_and_dimensions_or_is_refused(
    tmp_path: Path, local: LocalHub, script: Callable[..., str]
) -> None:
    before = whole(tmp_path)
    adapted = backbone.embedder(make_model(tmp_path / "base"), 24)
    backbone.add_adapter(adapted, Embedder(lora_r=2))
    adapted.save_pretrained(str(tmp_path / "adapter"))
    rows = [
        {"query": row["query"], "positive": [{"title": "", "text": row["positive"]}, "NA"]} for row in some_rows(40)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "header.csv").write_text("query,positive\n")
    (tmp_path / "columns.csv").write_text("question,positive\na,b\n")
    (tmp_path / "few.tsv").write_text("query\tpositive\n" + "\n".join(f"{i}\t{i}" for i in "12344"))
    push(local, tmp_path / "whole", tmp_path / "adapter")
    few, pairs = (*FEW, "--epochs", "1"), tmp_path / "pairs.jsonl"
    said = {
        out: script(*arguments, "--out", tmp_path / out)
        for out, *arguments in (
            ("kept", "me/whole", pairs, *few),
            ("prompted", "me/whole", pairs, *few, "--lora-r", "2", "--instruction", "find it", "--document-prompt", ""),
            ("adapted", "me/adapter", pairs, *few),
            ("batch", "me/whole", pairs, "--batch-size", "1"),
            ("epochs", "me/whole", pairs, "--epochs", "0"),
            ("mini", "me/whole", pairs, "--mini-batch-size", "0"),
            ("missing", "me/whole", tmp_path / "none.csv"),
            ("header", "me/whole", tmp_path / "header.csv"),
            ("few", "me/whole", tmp_path / "few.tsv"),
            ("columns", "me/whole", tmp_path / "columns.csv"),
            ("unknown", "me/whole", "me/nothing"),
        )
    }

    model = SentenceTransformer(str(tmp_path / "kept"), device="cpu")
    assert [type(module) for module in model] == [Transformer, Pooling, Dense, Normalize]
    assert model[1].pooling_mode == "cls" and model.truncate_dim == 8 and model.max_seq_length == 32
    assert backbone.prompts_of(model) == ("find ", "and ") == (model.prompts["query"], model.prompts["document"])
    assert (
        model.encode_query(["fox"]).shape == (1, 8)
        and np.abs(model.encode(["fox"]) - before.encode(["fox"])).max() > 1e-3
    )
    assert not torch.equal(model[2].linear.weight, before[2].linear.weight)

    held = [line for line in said["kept"].splitlines() if line.startswith("before")]
    assert held and [line for line in said["prompted"].splitlines() if line.startswith("before")] == held
    model = SentenceTransformer(str(tmp_path / "prompted"), device="cpu")
    assert backbone.prompts_of(model) == ("Instruct: find it\nQuery: ", "")
    assert (tmp_path / "prompted" / "adapter" / "adapter_model.safetensors").is_file()

    assert "this is an adapter" in said["adapted"] and "merge_and_unload" in said["adapted"]
    assert "--batch-size 1: input should be greater than or equal to 2" in said["batch"]
    assert "--epochs 0.0: input should be greater than 0" in said["epochs"]
    assert "--mini-batch-size 0: input should be greater than 0" in said["mini"]
    assert "none.csv: there is no such file" in said["missing"]
    assert "header.csv: there are no rows" in said["header"]
    assert "too few queries" in said["few"] and "got       4" in said["few"]
    assert "columns.csv: no column query" in said["columns"] and "question, positive" in said["columns"]
    assert "me/nothing: the dataset cannot be loaded" in said["unknown"]
    for name in set(said) - {"kept", "prompted"}:
        assert "before:" not in said[name] and not (tmp_path / name).exists()
