"""The JSON schema of an answer as it is sent: without what OpenAI's strict mode refuses.

Source: OpenAI's guide "Structured model outputs" and Azure OpenAI's, "Supported schemas": every object is closed, all
of its properties are required, and most limits on values are unknown. One such word, and the whole request is refused.
Nothing is lost: pydantic checks the whole of every answer. LIMITS stay, since they keep lists and numbers from running
on to the token limit; a server that refuses one by name is asked without (see `wording`).
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import orjson

LIMITS = ("minItems", "maxItems", "minimum", "maximum")
"""OpenAI's strict mode takes them, Azure's does not."""
NOT_SENT = {
    *("default", "format", "pattern", "minLength", "maxLength"),
    *("exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("patternProperties", "propertyNames", "unevaluatedProperties", "minProperties", "maxProperties"),
    *("uniqueItems", "contains", "minContains", "maxContains", "unevaluatedItems", "examples"),
}


def wire_schema(schema: dict[str, Any], without: Collection[str] = ()) -> tuple[dict[str, Any], bool]:
    """A schema as it is sent, and whether it keeps the rules of strict mode.

    One with an object whose keys are free cannot keep them.

    Args:
        schema: as pydantic makes it.
        without: more keywords to leave out.
    """
    # Found again by its bytes: a dictionary has no hash, and walking the schema takes longer than writing it.
    return _rewritten(orjson.dumps(schema), frozenset(without))


@lru_cache(maxsize=64)
def _rewritten(schema: bytes, without: frozenset[str]) -> tuple[dict[str, Any], bool]:
    whole = orjson.loads(schema)
    return _node(whole, NOT_SENT | without), not _has_free_keys(whole)


def _node(schema: Any, not_sent: Collection[str]) -> Any:
    """One schema inside another; the names of properties are not keywords."""
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}  # strict mode takes no other keyword beside it
    found: dict[str, Any] = {}
    for name, value in schema.items():
        if name in ("properties", "$defs"):
            found[name] = {key: _node(inner, not_sent) for key, inner in value.items()}
        elif name == "items":
            found[name] = _node(value, not_sent)
        elif name in ("anyOf", "oneOf"):
            found["anyOf"] = [_node(inner, not_sent) for inner in value]
        elif name not in not_sent and name != "discriminator":
            found[name] = value
    if "properties" in found:
        found |= {"required": list(found["properties"]), "additionalProperties": False}
    return found


def _has_free_keys(schema: Any) -> bool:
    """Whether an object somewhere in a schema may have other keys than those it names."""
    if isinstance(schema, list):
        return any(map(_has_free_keys, schema))
    if not isinstance(schema, dict):
        return False
    free = schema.get("type") == "object" and "properties" not in schema
    return free or any(map(_has_free_keys, schema.values()))
