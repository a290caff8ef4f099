"""Which form of a JSON schema a server takes: the rules alone, without a socket."""

import logging

import pytest

from hub_speed.llm import schema_forms
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.schema_forms import SchemaForms

REQUEST = Request("p", Sampling(1.0, 1.0, 10), {"type": "object", "required": ["a"]})


def test_only_an_answer_proves_a_form_and_a_proven_one_stays() -> None:
    notes: list[str] = []
    forms = SchemaForms("chat", notes)
    assert forms.refuse("response_format", "no such field") and not forms.known
    assert forms.refuse("response_format", "sent before that") and forms.left == ("structured_outputs", "none")
    forms.works("structured_outputs")
    assert forms.known and not forms.refuse("structured_outputs", "too long")
    forms.works("none")
    assert forms.left == ("structured_outputs",)
    forms.works("response_format")
    assert forms.left == ("structured_outputs",)
    assert notes == ["refuses a JSON schema as response_format: sent as structured_outputs. It says: no such field"]


def test_no_schema_is_replaced_by_a_form_that_works_after_all() -> None:
    forms = SchemaForms("chat", [])
    assert forms.refuse("response_format", "no") and forms.refuse("structured_outputs", "no")
    forms.works("none")
    assert forms.left == ("none",)
    forms.works("response_format")
    assert forms.left == ("response_format",) and not forms.refuse("response_format", "no")


def test_a_form_is_given_up_for_rows_that_were_begun_after_one_another() -> None:
    refused = {"response_format": "no"}
    forms = SchemaForms("chat", [])
    begun = [forms.begin() for _ in range(9)]
    for each in begun:  # all at the same time: a trouble that may pass
        forms.works("structured_outputs", refused, each)
    assert forms.left[0] == "response_format"
    for _ in range(schema_forms.SEVERAL - 1):
        assert forms.left[0] == "response_format" and not forms.known
        forms.works("structured_outputs", refused, forms.begin())
    assert forms.left == ("structured_outputs",) and forms.known


def test_an_answer_that_ignores_the_schema_is_noted_once(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    forms = SchemaForms("chat", notes)
    forms.works("response_format")
    with caplog.at_level(logging.INFO, "hub_speed"):
        for text in ('{"a": 1}', *["secret words"] * 5):
            forms.check(REQUEST, Completion((text,), ("stop",), "m", 1, 1), "response_format")
    assert notes == ["takes a JSON schema as response_format, but answers otherwise"]
    assert len(caplog.records) == 1 and "secret" not in caplog.text
