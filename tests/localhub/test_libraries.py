"""datasets, transformers and sentence-transformers, unmodified, push to the embedded Hub and load from it."""

import json
import os
from pathlib import Path

import pytest


def push_and_load_datasets(folder):
    from datasets import Dataset, DatasetDict, get_dataset_config_names, load_dataset
    from huggingface_hub import HfApi

    api, name = HfApi(), "org/ds"
    rows = {"query": ["a", "b", "c"], "positive": ["A", "B", "C"], "score": [0.5, 1.0, 1.5]}
    Dataset.from_dict(rows).push_to_hub(name)
    splits = DatasetDict(train=Dataset.from_dict(rows), test=Dataset.from_dict({k: v[:1] for k, v in rows.items()}))
    splits.push_to_hub(name, config_name="retrieval", commit_message="Add retrieval")
    api.create_tag(name, tag="v1.0", repo_type="dataset")
    Dataset.from_dict({"query": ["new"]}).push_to_hub(name, config_name="default", split="train", max_shard_size="1KB")

    assert load_dataset(name, revision="v1.0", split="train").to_dict() == rows
    loaded = load_dataset(name, "retrieval", revision="v1.0")
    assert {split: len(part) for split, part in loaded.items()} == {"train": 3, "test": 1}
    assert load_dataset(name, split="train")["query"][:] == ["new"]
    assert get_dataset_config_names(name) == ["default", "retrieval"]
    stream = load_dataset(name, "retrieval", revision="v1.0", split="train", streaming=True)
    assert [row["positive"] for row in stream] == ["A", "B", "C"]
    card = Path(api.hf_hub_download(name, "README.md", repo_type="dataset")).read_text()
    assert "config_name: retrieval" in card
    assert api.dataset_info(name).card_data.configs[0]["config_name"] == "default"

    api.create_repo("org/plain", repo_type="dataset")
    (Path(folder) / "train.parquet").write_bytes(b"")
    Dataset.from_dict(rows).to_parquet(Path(folder) / "train.parquet")
    api.upload_folder(repo_id="org/plain", repo_type="dataset", folder_path=folder)
    assert load_dataset("org/plain", split="train").to_dict() == rows

    sha = api.dataset_info(name).sha
    Dataset.from_dict({"query": ["new"]}).push_to_hub(name, config_name="default", split="train", max_shard_size="1KB")
    assert load_dataset(name, split="train", revision=sha)["query"][:] == ["new"]


def test_datasets(client, tmp_path):
    client(push_and_load_datasets, str(tmp_path))


def load_without_one_task_type(folder):
    from datasets import get_dataset_config_names, load_dataset
    from huggingface_hub import HfApi

    from hub_speed.parquet import write_parquet
    from hub_speed.rows import TaskRow

    row = dict.fromkeys(TaskRow.model_fields, "x") | {"task_type": "sts"}
    write_parquet([], TaskRow, Path(folder) / "data" / "bitext")
    write_parquet([row], TaskRow, Path(folder) / "data" / "sts")
    configs = [("default", "**"), ("sts", "sts")]
    card = "".join(f"- config_name: {name}\n  data_files: data/{where}/*.parquet\n" for name, where in configs)
    (Path(folder) / "README.md").write_text(f"---\nconfigs:\n{card}---\n")
    HfApi().create_repo("org/one-type", repo_type="dataset")
    HfApi().upload_folder(repo_id="org/one-type", repo_type="dataset", folder_path=folder)
    assert get_dataset_config_names("org/one-type") == ["default", "sts"]
    for streaming in (False, True):
        assert list(load_dataset("org/one-type", split="train", streaming=streaming)) == [row]


def test_a_dataset_without_rows_of_one_task_type(client, tmp_path):
    client(load_without_one_task_type, str(tmp_path))


def push_with_workers():
    from datasets import Dataset, load_dataset

    Dataset.from_dict({"i": list(range(100))}).push_to_hub("org/workers", num_proc=2)
    assert load_dataset("org/workers", split="train")["i"][:] == list(range(100))


def test_datasets_with_worker_processes(client):
    client(push_with_workers)


def stream():
    from datasets import Dataset, IterableDataset, load_dataset

    rows = {"id": [f"r{i}" for i in range(300)], "text": ["x" * 50] * 300, "kind": [i % 3 for i in range(300)]}
    IterableDataset.from_generator(
        lambda: ({name: values[i] for name, values in rows.items()} for i in range(300))
    ).push_to_hub("org/streamed", num_shards=1)
    Dataset.from_dict(rows).push_to_hub("org/shards", num_shards=3)
    path = "hf://datasets/org/shards/data/*.parquet"
    few = load_dataset("org/shards", split="train", streaming=True, columns=["id"], filters=[("kind", "==", 1)])
    assert [row["id"] for row in few] == rows["id"][1::3]
    shuffled = load_dataset("org/streamed", split="train", streaming=True).shuffle(seed=0, buffer_size=50).skip(10)
    assert len({row["id"] for row in shuffled}) == 290
    assert len(load_dataset("parquet", data_files=path, split="train")) == 300
    assert len(load_dataset("org/shards", split="train[10%:20%]")) == 30


def test_datasets_streams(client):
    client(stream)


def read_tables():
    import pandas
    import polars
    from datasets import Dataset
    from huggingface_hub import HfApi, HfFileSystem

    Dataset.from_dict({"i": list(range(100))}).push_to_hub("org/table")
    path = "hf://datasets/org/table/data/train-00000-of-00001.parquet"
    assert list(pandas.read_parquet(path)["i"]) == list(range(100))
    lazy = polars.scan_parquet(HfFileSystem().open(path)).filter(polars.col("i") > 90)
    assert lazy.select("i").collect().height == polars.read_parquet(path, use_pyarrow=True)[91:].height == 9
    polars.DataFrame({"i": [1]}).write_parquet("hf://datasets/org/table/polars.parquet", use_pyarrow=True)
    pandas.DataFrame({"i": [1]}).to_parquet("hf://datasets/org/table/pandas.parquet")
    assert {"polars.parquet", "pandas.parquet"} <= set(HfApi().list_repo_files("org/table", repo_type="dataset"))


def test_polars_and_pandas(client):
    pytest.importorskip("polars", reason="polars is not installed")
    client(read_tables)


def ask_duckdb():
    import duckdb
    from datasets import Dataset
    from huggingface_hub import HfFileSystem

    Dataset.from_dict({"i": list(range(100))}).push_to_hub("org/duck", num_shards=2)
    connection = duckdb.connect()
    connection.register_filesystem(HfFileSystem())
    asked = "select count(*), max(i) from 'hf://datasets/org/duck/data/*.parquet' where i > 90"
    assert connection.sql(asked).fetchall() == [(9, 99)]


def test_duckdb(client):
    pytest.importorskip("duckdb", reason="duckdb is not installed")
    client(ask_duckdb)


def tiny_model(folder):
    """A two-layer BERT with random weights and a vocabulary of a few words."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "hub", "speed", "a", "row"]
    (Path(folder) / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(vocab=str(Path(folder) / "vocab.txt"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(words), max_position_embeddings=32, **sizes)
    return BertModel(config).eval(), tokenizer


def push_and_load_transformers(folder):
    import torch
    from huggingface_hub import HfApi
    from transformers import AutoModel, AutoTokenizer, pipeline

    model, tokenizer = tiny_model(folder)
    model.push_to_hub("org/bert")
    tokenizer.push_to_hub("org/bert")
    HfApi().create_tag("org/bert", tag="v1")
    loaded = AutoModel.from_pretrained("org/bert", revision="v1")
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    assert AutoTokenizer.from_pretrained("org/bert")("the hub").input_ids == tokenizer("the hub").input_ids
    vectors = pipeline("feature-extraction", "org/bert", revision="v1")("speed")
    assert len(vectors[0][0]) == 16
    assert HfApi().get_safetensors_metadata("org/bert").parameter_count["F32"] == sum(
        p.numel() for p in model.parameters()
    )


def test_transformers(client, tmp_path):
    client(push_and_load_transformers, str(tmp_path))


def push_shards_to_a_branch(folder):
    import torch
    from huggingface_hub import HfApi
    from transformers import AutoModel

    model, _ = tiny_model(folder)
    HfApi().create_repo("org/sharded", private=True)
    HfApi().create_branch("org/sharded", branch="study/a")
    model.push_to_hub("org/sharded", revision="study/a", max_shard_size="8KB", commit_message="Sharded")
    loaded = AutoModel.from_pretrained("org/sharded", revision="study/a", dtype=torch.bfloat16)
    assert loaded.dtype == torch.bfloat16
    files = HfApi().list_repo_files("org/sharded", revision="study/a")
    assert "model.safetensors.index.json" in files and sum(name.endswith(".safetensors") for name in files) > 1
    assert HfApi().list_repo_files("org/sharded") == [".gitattributes"]


def test_transformers_shards_on_a_branch(client, tmp_path):
    client(push_shards_to_a_branch, str(tmp_path))


def push_and_load_sentence_transformers(folder):
    import numpy
    from huggingface_hub import HfApi
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    model, tokenizer = tiny_model(folder)
    model.save_pretrained(Path(folder) / "bert")
    tokenizer.save_pretrained(Path(folder) / "bert")
    word = Transformer(str(Path(folder) / "bert"))
    embedder = SentenceTransformer(modules=[word, Pooling(16)], device="cpu")
    embedder.push_to_hub("org/embedder", exist_ok=True)
    HfApi().create_tag("org/embedder", tag="v1.0")
    loaded = SentenceTransformer("org/embedder", revision="v1.0", device="cpu")
    assert numpy.allclose(embedder.encode(["the row"]), loaded.encode(["the row"]), atol=1e-6)


def test_sentence_transformers(client, tmp_path):
    client(push_and_load_sentence_transformers, str(tmp_path))


def mixin():
    import torch
    from huggingface_hub import PyTorchModelHubMixin

    class Net(torch.nn.Module, PyTorchModelHubMixin):
        def __init__(self, size: int):
            super().__init__()
            self.layer = torch.nn.Linear(size, size)

    net = Net(3)
    net.push_to_hub("org/net")
    assert torch.equal(Net.from_pretrained("org/net").layer.weight, net.layer.weight)


def test_model_mixin(client):
    client(mixin)


def command_line(folder):
    import subprocess
    import sys

    from huggingface_hub import HfApi

    def hf(*arguments):
        script = Path(sys.executable).parent / "hf"
        return subprocess.run([script, *arguments], capture_output=True, text=True, check=True, cwd=folder).stdout

    assert "local" in hf("auth", "whoami")
    hf("repos", "create", "org/from-cli", "--repo-type", "dataset")
    (Path(folder) / "up").mkdir()
    (Path(folder) / "up" / "x.json").write_text(json.dumps([{"a": 1}]))
    hf("upload", "org/from-cli", "up", ".", "--repo-type", "dataset")
    hf("download", "org/from-cli", "--repo-type", "dataset", "--local-dir", "down")
    assert (Path(folder) / "down" / "x.json").read_text() == '[{"a": 1}]'
    hf("upload", "org/from-cli", "up", ".", "--repo-type", "dataset")  # nothing new: no commit
    assert len(HfApi().list_repo_commits("org/from-cli", repo_type="dataset")) == 2
    assert os.environ["HF_HOME"].endswith("hf_home")


def test_command_line(client, tmp_path):
    client(command_line, str(tmp_path))
