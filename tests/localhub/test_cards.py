"""Cards that are made to harm: refused when they are checked, and harmless when they are committed."""

import base64

import pytest

from hub_speed.localhub import cards

BOMBS = {
    "deep": "[" * 40_000,
    "aliases": "a0: &a0 x\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)),
    "sexagesimal": "a: 1" + ":1" * 300_000,
    "long": "a: " + "x " * 600_000,
    "tuple keys": "? [a, b]\n: c",
    "bad date": "a: 2001-99-99",
}
ODD = """model-index:
- name: m
  results: [{metrics: [{value: .nan}, {value: -.inf}]}]
2001-01-01: 5
!!binary aGk=: !!set {a}"""


def put_card(web, repo, text):
    value = {"path": "README.md", "content": base64.b64encode(text.encode()).decode(), "encoding": "base64"}
    assert web.commit(repo, [{"key": "file", "value": value}]).status == 200


@pytest.mark.parametrize("name", BOMBS)
def test_a_harmful_card_is_refused_and_ends_nothing(web, name):
    text = f"---\n{BOMBS[name]}\n---\ntext"
    with pytest.raises(cards.CardError, match="Invalid YAML"):
        cards.parse(text)
    answer = web("POST", "/api/validate-yaml", {"content": text, "repoType": "model"})
    assert answer.status == 400 and "Invalid YAML" in answer.json["errors"][0]["message"]
    web("POST", "/api/repos/create", {"name": "bomb", "organization": "cards", "type": "dataset"})
    put_card(web, "cards/bomb", text)
    for path in ("/api/datasets/cards/bomb", "/api/datasets", "/api/datasets?full=true", "/datasets/cards/bomb", "/"):
        assert web("GET", path).status == 200, path


def test_numbers_that_json_does_not_have_are_null_in_listings(web):
    web("POST", "/api/repos/create", {"name": "nan", "organization": "cards", "type": "dataset"})
    put_card(web, "cards/nan", f"---\n{ODD}\n---\n")
    card = web("GET", "/api/datasets/cards/nan").json["cardData"]
    assert card["model-index"][0]["results"][0]["metrics"] == [{"value": None}, {"value": None}]
    assert card["2001-01-01"] == 5 and ["a"] in card.values()
    listed = {item["id"]: item["cardData"] for item in web("GET", "/api/datasets").json}
    assert listed["cards/nan"] == card
    assert b"model-index" in web("GET", "/datasets/cards/nan").body
    refused = web("POST", "/api/validate-yaml", {"content": f"---\n{ODD}\n---\n"})
    assert refused.status == 400 and 'results[0].task.type" is required' in refused.json["errors"][0]["message"]
