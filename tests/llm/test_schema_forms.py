"""Which form of a JSON schema a server takes: the rules alone, without a socket."""

import logging

import pytest

from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.schema_forms import SchemaForms

REQUEST = Request("p", Sampling(1.0, 1.0, 10), {"type": "object", "required": ["a"]})


def test_only_an_answer_proves_a_form_and_then_an_earlier_one_replaces_it() -> None:
    notes: list[str] = []
    forms = SchemaForms("chat", notes)
    assert forms.refuse("response_format", "no such field") and not forms.known
    assert forms.refuse("response_format", "sent before that") and forms.left == ("structured_outputs", "none")
    forms.works("structured_outputs")
    assert forms.known and not forms.refuse("structured_outputs", "too long")
    forms.works("none")
    assert forms.left == ("structured_outputs",)
    forms.works("response_format")
    assert forms.left == ("response_format",)
    assert notes == ["refuses a JSON schema as response_format: sent as structured_outputs. It says: no such field"]


def test_an_answer_that_ignores_the_schema_is_noted_once(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    forms = SchemaForms("chat", notes)
    forms.works("response_format")
    with caplog.at_level(logging.INFO, "hub_speed"):
        for text in ('{"a": 1}', "secret words", "secret words"):
            forms.check(REQUEST, Completion((text,), ("stop",), "m", 1, 1))
    assert notes == ["takes a JSON schema as response_format, but answers otherwise"]
    assert len(caplog.records) == 1 and "secret" not in caplog.text
