"""Cards that the real Hub would refuse are refused here, and those it takes are taken."""

import pytest

from hub_speed.localhub.card_rules import check


def verdict(metadata, repo_type="model"):
    return check(f"---\n{metadata}\n---\n# Card\n", repo_type)


GOOD = """
language: [en, de, code, no, yue]
license: other
license_name: my-licence-1.0
license_link: LICENSE
base_model: org/base
base_model_relation: finetune
datasets: [org/rows, squad]
pipeline_tag: sentence-similarity
tags: [a, b]
model-index:
- name: m
  results:
  - task: {type: retrieval, name: Retrieval}
    dataset: {type: org/bench, name: Bench}
    metrics: [{type: ndcg_at_10, value: 0.5}, {type: map, value: .nan}]
- name: none
  results: []
"""


def test_a_good_card_is_taken():
    assert verdict(GOOD) == ([], [])
    assert verdict("task_categories: [text-retrieval]\nsize_categories: 1K<n<10K", "dataset") == ([], [])
    assert verdict("sdk: gradio\ncolorFrom: gray\nshort_description: short", "space") == ([], [])
    assert check("\n---\nlicense: mit\n---\n", "model") == ([], [])
    assert check("# No metadata", "model").warnings == ["empty or missing yaml metadata in repo card"]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("license: asdf", '"license" must be one of [apache-2.0, mit, '),
        ("license: [mit, MIT]", '"license[1]" must be one of'),
        ("license: 1.5", '"license" must be a string'),
        ("language: zh-CN", '"language" with value "zh-CN" is not valid'),
        ("language: [en, english]", '"language[1]" with value "english" is not valid'),
        ("base_model: /home/me/base", "Use a model id from https://hf.co/models."),
        ("datasets: [my rows]", "Use a dataset id from https://hf.co/datasets."),
        ("base_model_relation: child", '"base_model_relation" must be one of [adapter'),
        ("tags: [{a: b}]", '"tags[0]" must be a string'),
        ("model-index: foo", '"model-index" must be an array'),
        ("model-index: [{results: []}]", '"model-index[0].name" is required'),
        ("model-index: [{name: m}]", '"model-index[0].results" must be an array'),
        ("model-index: [{name: m, results: [5]}]", '"model-index[0].results[0]" must be of type object'),
        (GOOD.replace(", value: 0.5", ""), '"model-index[0].results[0].metrics[0].value" is required'),
        (
            GOOD.replace("dataset: {type: org/bench, ", "dataset: {"),
            '"model-index[0].results[0].dataset.type" is required',
        ),
    ],
)
def test_what_the_hub_refuses_is_refused(metadata, message):
    [error] = verdict(metadata).errors
    assert message in error


def test_spaces_have_rules_of_their_own():
    bad = f"sdk: flask\ncolorTo: orange\nshort_description: {'x' * 61}"
    assert len(verdict(bad, "space").errors) == 3 and not verdict(bad).errors


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("task_categories: [conversational]", 'The task_categories "conversational" is not in the official list'),
        ("pipeline_tag: embed", 'The pipeline tag "embed" is not in the official list'),
        ("size_categories: 5", None),
        ("size_categories: 5K", 'The size_categories "5K" is not in the official list'),
        ("license: mit\nlicense_name: mine", '"license_name"'),
    ],
)
def test_warnings(metadata, message):
    warnings = verdict(metadata).warnings
    assert (message in warnings[0]) if message else not warnings


def test_people_and_programs_get_the_same_verdict(web):
    body = {"content": "---\nlicense: asdf\npipeline_tag: x\n---\n", "repoType": "model"}
    answer = web("POST", "/api/validate-yaml", body)
    assert answer.status == 400 and len(answer.json["errors"]) == len(answer.json["warnings"]) == 1
    text = web("POST", "/api/validate-yaml", body, headers={"Accept": "text/plain"})
    assert text.status == 400 and text.body.startswith(b'- Error: "license" must be one of')
    assert b"\n- Warning: The pipeline tag" in text.body
