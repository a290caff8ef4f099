"""The schemas that are sent keep the rules of strict mode, and say the same as pydantic's otherwise."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from hub_speed.generation import prompts
from hub_speed.generation.on_request import FromPassage
from hub_speed.llm.wire_schema import NOT_SENT, wire_schema
from hub_speed.task_types import TASK_TYPES

ANSWERS = {name: kind.answer for name, kind in TASK_TYPES.items()}
ANSWERS |= {"tasks": prompts.Tasks, "verdict": prompts.Verdict, "passage": FromPassage}


class Part(BaseModel):
    pattern: str = Field(pattern="a+", description="a property that has the name of a keyword")
    score: float = Field(ge=0, lt=5, multiple_of=0.5)


class Whole(BaseModel):
    """Everything that strict mode refuses."""

    model_config = ConfigDict(extra="allow")

    format: Annotated[str, Field(min_length=1, max_length=9)]
    part: Part = Field(description="beside a $ref")
    parts: list[Part] = Field(min_length=1, max_length=3)
    kind: Literal["a", "b"] | None = None
    default: int = Field(5, le=7)


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema inside a schema, itself included."""
    yield schema
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    for each in [*inner, *([schema["items"]] if "items" in schema else [])]:
        yield from objects(each)


@pytest.mark.parametrize("name", [*ANSWERS, "whole"])
def test_strict_mode_finds_nothing_to_refuse(name: str) -> None:
    schema = (ANSWERS | {"whole": Whole})[name].model_json_schema()
    sent, strict = wire_schema(schema)
    assert strict
    for found in objects(sent):
        assert not found.keys() & NOT_SENT
        assert "$ref" not in found or list(found) == ["$ref"]
        if found.get("type") == "object":
            assert found["additionalProperties"] is False
            assert found["required"] == list(found["properties"])
    assert sent["properties"].keys() == schema["properties"].keys()


def test_what_strict_mode_knows_stays() -> None:
    sent, _ = wire_schema(Whole.model_json_schema())
    assert sent["properties"]["parts"]["minItems"] == 1 and sent["properties"]["parts"]["maxItems"] == 3
    assert sent["properties"]["kind"]["anyOf"][0]["enum"] == ["a", "b"]
    assert sent["$defs"]["Part"]["properties"]["pattern"]["description"].startswith("a property")
    assert sent["description"] == "Everything that strict mode refuses."


def test_a_server_may_refuse_more_words() -> None:
    sent, _ = wire_schema(Whole.model_json_schema(), ["minItems", "maxItems"])
    assert sent["properties"]["parts"].keys() == {"items", "title", "type"}


def test_free_keys_cannot_be_strict_and_stay_free() -> None:
    schema = {"type": "object", "properties": {"data": {"type": "object", "additionalProperties": {"type": "string"}}}}
    sent, strict = wire_schema(schema)
    assert not strict
    assert sent["properties"]["data"] == schema["properties"]["data"]
