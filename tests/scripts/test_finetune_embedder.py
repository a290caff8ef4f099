"""The script that fine-tunes a published embedder."""

import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from running import Cli  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from tiny_models import make_model  # noqa: E402
from tiny_training import some_rows  # noqa: E402

from hub_speed.training.embedder import backbone  # noqa: E402

FINETUNE = """
import runpy, sys
from huggingface_hub import HfApi
api = HfApi()
for name in ("embedder", "pickled"):
    api.create_repo(f"me/{name}")
    api.upload_folder(repo_id=f"me/{name}", folder_path=f"FOLDER/{name}")
for base, pairs, out, push in (
    ("embedder", "labelled", "first", "mine"),
    ("embedder", "plain", "second", "mine"),
    ("embedder", "plain", "third", "embedder"),
    ("pickled", "plain", "fourth", "other"),
):
    places = ["--out", f"FOLDER/{out}", "--push", f"me/{push}"]
    sys.argv = ["", f"me/{base}", f"FOLDER/{pairs}.csv", *places, "--batch-size", "8", "--learning-rate", "1e-3"]
    try:
        runpy.run_path("SCRIPT", run_name="__main__")
    except (SystemExit, OSError) as error:
        print(f"{out}: {error}")
print("files", *api.list_repo_files("me/mine"))
print("commits", *(len(api.list_repo_commits(f"me/{name}")) for name in ("mine", "embedder")))
"""


def test_the_script_fine_tunes_on_pairs_alone_and_pushes_to_what_it_has_made(tmp_path: Path, cli: Cli) -> None:
    model = backbone.embedder(make_model(tmp_path / "base"), 24)
    model.prompts = {"query": "Instruct: find it\nQuery: ", "document": ""}
    backbone.publish(model, tmp_path / "embedder")
    shutil.copytree(tmp_path / "embedder", tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(model[0].auto_model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    lines = [f"{row['query']},{row['positive']}" for row in some_rows(40)]
    (tmp_path / "plain.csv").write_text("\n".join(["query,positive", *lines]))
    (tmp_path / "labelled.csv").write_text("\n".join(["query,positive,label", *(f"{line},1" for line in lines)]))
    script = Path(__file__).parents[2] / "scripts" / "finetune_embedder.py"
    out = cli.python(FINETUNE.replace("FOLDER", str(tmp_path)).replace("SCRIPT", str(script)))
    assert out.count("after:  nDCG@10") == out.count("pushed: me/mine@") == 2
    assert "third: me/embedder is there and not made by this script" in out
    assert "fourth: " in out and "safetensors" in out
    assert not (tmp_path / "third").exists() and not (tmp_path / "fourth").exists()
    base, first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("embedder", "first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in base)  # a column of labels is not read
    assert max((first[name] - base[name]).abs().max() for name in base) > 1e-3
    assert {"README.md", "model.safetensors", "modules.json"} <= set(out.split("files ")[1].split())
    assert out.splitlines()[-1] == "commits 3 2"  # two pushes after the empty first one; none to the base
