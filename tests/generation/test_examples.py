"""From a model's text to the columns of a row."""

import json

from hypothesis import given
from hypothesis import strategies as st

from hub_speed.generation import examples
from hub_speed.task_types.sts import Similarity

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT, TEXT, TEXT)
def test_an_answer_is_written_as_json_dumps_writes_it(first: str, second: str, third: str) -> None:
    answer = Similarity.model_construct(S1=first, S2=second, S3=third)
    assert examples.compact(answer) == json.dumps(answer.__dict__, ensure_ascii=False)
