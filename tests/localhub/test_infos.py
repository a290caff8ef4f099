"""What clients learn about repos: properties, parameter counts, search, filters, order and pages."""

import pytest

CARD = """---
license: apache-2.0
language: en
pipeline_tag: sentence-similarity
library_name: sentence-transformers
base_model: org/base
base_model_relation: finetune
datasets: [info/rows]
---
The method is that of https://arxiv.org/abs/2410.18634.
"""


def error_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        return error
    raise AssertionError("expected an error")


def properties():
    import numpy
    from huggingface_hub import CommitOperationAdd, HfApi
    from safetensors.numpy import save

    api, name = HfApi(), "info/model"
    api.create_repo(name)
    weights = save({"a": numpy.zeros((3, 4), "float32"), "b": numpy.zeros(5, "float16"), "c": numpy.zeros((), "int8")})
    files = {
        "README.md": CARD.encode(),
        "model-00001-of-00002.safetensors": weights,
        "model-00002-of-00002.safetensors": save({"d": numpy.zeros((2, 2), "float32")}),
        "part/model.safetensors": weights,
        "config.json": b'{"architectures": ["BertModel"], "model_type": "bert", "x": NaN}',
    }
    api.create_commit(name, [CommitOperationAdd(*item) for item in files.items()], commit_message="all")
    info = api.model_info(name)
    assert info.safetensors == {"parameters": {"F32": 16, "F16": 5, "I8": 1}, "total": 22}
    assert info.config is None  # NaN is not JSON
    assert {"arxiv:2410.18634", "base_model:org/base", "base_model:finetune:org/base", "language:en"} <= set(info.tags)
    small = len(CARD.encode()) + len(files["config.json"])
    gitattributes = {file.rfilename: file.size for file in api.model_info(name, files_metadata=True).siblings}
    large = sum(len(content) for path, content in files.items() if "-of-" in path)  # part/ has the first content again
    assert info.used_storage == small + gitattributes[".gitattributes"] + large
    api.upload_file(repo_id=name, path_in_repo="config.json", path_or_fileobj=b'{"model_type": "bert", "y": 1}')
    asked = api.model_info(name, expand=["config", "baseModels", "private", "safetensors", "sha"])
    assert (asked.config, asked.base_models, asked.private) == ({"model_type": "bert"}, ["org/base"], False)
    assert asked.safetensors.total == 22 and asked.sha and asked.tags is None and asked.siblings is None
    wrong = error_of(api.model_info, name, expand=["mainSize"])
    assert wrong.response.status_code == 400 and "must be one of [author, baseModels" in str(wrong)
    assert [item.id for item in api.list_models(author="info", num_parameters="min:20,max:0.1K")] == [name]
    assert list(api.list_models(author="info", num_parameters="min:1B")) == []
    api.upload_file(
        repo_id=name, path_in_repo="model-00002-of-00002.safetensors", path_or_fileobj=b"\0 not safetensors"
    )
    assert api.model_info(name).safetensors is None
    api.create_repo("info/rows", repo_type="dataset")
    assert api.dataset_info("info/rows", expand="mainSize").main_size == gitattributes[".gitattributes"]
    api.create_repo("info/app", repo_type="space", space_sdk="static")
    assert api.space_info("info/app", expand=["sdk", "subdomain"]).subdomain == "info-app"


def test_properties(client):
    client(properties)


def listing():
    from huggingface_hub import HfApi

    api = HfApi()
    for number in range(5):
        api.create_repo(f"Pages/set-{number}", repo_type="dataset", private=number == 4)
    text = b"---\ntask_categories: [text-retrieval]\nlanguage: [de]\nsize_categories: n<1K\n---\n"
    api.upload_file(repo_id="pages/SET-1", path_in_repo="README.md", path_or_fileobj=text, repo_type="dataset")
    api.update_repo_settings("Pages/set-2", repo_type="dataset", gated="auto")

    def names(**query):
        return [item.id.partition("-")[2] for item in api.list_datasets(author="pages", **query)]

    assert names() == ["0", "1", "2", "3", "4"] and names(token=False) == ["0", "1", "2", "3"]
    changed = [item.last_modified for item in api.list_datasets(author="pages", sort="last_modified")]
    assert changed == sorted(changed, reverse=True) and names(sort="created_at") == ["4", "3", "2", "1", "0"]
    assert names(task_categories="text-retrieval", language="de", size_categories="n<1K") == ["1"]
    assert names(search="SET 3") == ["3"] and names(dataset_name="set", search="none") == []
    assert names(gated=True) == ["2"] and len(names(gated=False)) == 4
    assert names(limit=2) == ["0", "1"]
    assert api.create_repo("PAGES/new", repo_type="dataset").repo_id == "Pages/new"
    twice = error_of(api.create_repo, "pages/SET-0", repo_type="dataset")
    assert twice.response.status_code == 409 and "A dataset repository called Pages/set-0 already exists" in str(twice)


def test_listing(client):
    client(listing)


def test_pages_are_linked(web):
    for number in range(3):
        web("POST", "/api/repos/create", {"name": f"m{number}", "organization": "linked"})
    first = web("GET", "/api/models?author=linked&limit=2")
    assert [item["id"] for item in first.json] == ["linked/m0", "linked/m1"]
    url, _, rel = first.headers["link"].partition("; ")
    assert rel == 'rel="next"' and "author=linked" in url
    second = web("GET", url.strip("<>").partition("/api")[1] + url.strip("<>").partition("/api")[2])
    assert [item["id"] for item in second.json] == ["linked/m2"] and "link" not in second.headers


@pytest.mark.parametrize("query", ["expand=x", "cursor=-1", "cursor=9999999999", "sort=size", "num_parameters=many"])
def test_odd_queries_are_refused(web, query):
    assert web("GET", f"/api/models?{query}").status == 400
