"""How one row's requests are worded after refusals: the rules alone, without a socket."""

from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.schema_forms import SEVERAL, SchemaForms
from hub_speed.llm.wording import Parameters, Wording

REQUEST = Request("p", Sampling(1.0, 1.0, 10), {"type": "object", "required": ["a"]})
GOOD = Completion(('{"a": 1}',), ("stop",), "m", 1, 1)
WORDS = "Unsupported parameter: 'top_p' is not supported with this model."


def test_a_parameter_is_left_out_of_all_rows_after_several_and_never_after_it_was_taken() -> None:
    notes: list[str] = []
    forms = SchemaForms("chat", [])
    for taken, left_out in ((False, frozenset({"top_p"})), (True, frozenset[str]())):
        parameters = Parameters("chat", notes)
        if taken:
            parameters.works(frozenset(), {}, begun=False)
        for _ in range(SEVERAL):
            row = Wording(REQUEST, forms)
            row.look(parameters)
            assert not row.without and row.leave_out(400, WORDS)
            row.look(parameters)
            assert row.without == {"top_p"} and not row.leave_out(400, WORDS)
            row.works(REQUEST, GOOD)
        assert parameters.left_out == left_out
    assert notes == [f"does not take top_p: left out. It says: {WORDS}"]


def test_what_one_replica_refuses_is_sent_to_its_neighbour() -> None:
    forms, notes = SchemaForms("chat", []), list[str]()
    one, two = Parameters("chat", notes, "replica 1 of 2"), Parameters("chat", notes, "replica 2 of 2")
    for _ in range(SEVERAL):
        row = Wording(REQUEST, forms)
        row.look(one)
        assert row.leave_out(400, WORDS)
        row.look(two)
        assert not row.without
        row.look(one)
        row.works(REQUEST, GOOD)
    assert (one.left_out, two.left_out) == ({"top_p"}, set())
    assert notes == [f"replica 1 of 2 does not take top_p: left out. It says: {WORDS}"]


def test_a_form_that_was_refused_and_works_for_others_meanwhile_is_tried_once_more() -> None:
    forms, parameters = SchemaForms("chat", []), Parameters("chat", [])
    row, other = Wording(REQUEST, forms), Wording(REQUEST, forms)
    row.look(parameters)
    assert row.change_form(400, "starting")
    row.look(parameters)
    assert row.form == "structured_outputs"
    other.look(parameters)
    other.works(REQUEST, GOOD)
    assert row.change_form(400, "no such field")
    row.look(parameters)
    assert row.form == "response_format"


def test_a_row_that_a_proven_form_refuses_is_asked_once_without_its_schema() -> None:
    forms, parameters = SchemaForms("chat", []), Parameters("chat", [])
    forms.works("response_format")
    for status, failures in ((400, 0), (500, 1)):
        row = Wording(REQUEST, forms)
        row.look(parameters)
        assert not row.change_form(500, "may pass", 0)
        assert row.change_form(status, "too deep", failures)
        row.look(parameters)
        assert row.form == "none"
        assert not row.change_form(status, "too deep", failures)
        row.look(parameters)
        assert row.form == "response_format" and not row.change_form(status, "too deep", failures)
    other = Wording(REQUEST, forms)
    other.look(parameters)
    assert other.form == "response_format" and forms.left == ("response_format",)


def test_a_status_that_has_nothing_to_do_with_the_words_changes_none() -> None:
    row = Wording(REQUEST, SchemaForms("chat", []))
    row.look(Parameters("chat", []))
    assert not row.change_form(401, "bad key") and not row.change_form(503, "busy")
    assert not row.leave_out(403, WORDS)
    row.look(Parameters("tgi", []))
    assert not row.leave_out(400, WORDS)
