"""What would run, and why."""

from dataclasses import dataclass
from typing import Any

from hub_speed.errors import HubError, NotFound
from hub_speed.hub import Ref
from hub_speed.pipeline.session import Session
from hub_speed.pipeline.table import wanted
from hub_speed.recipe import Recipe
from hub_speed.record import fingerprint_of, tag_of
from hub_speed.stage import FromHub, FromStage, Stage


@dataclass(frozen=True)
class Step:
    """One line of a plan.

    Attributes:
        ref: the finished version, when there is one.
        why: "cached", or why it has to run.
    """

    stage: Stage
    ref: Ref | None
    why: str


def plan(recipe: Recipe, session: Session, only: str | None = None) -> list[Step]:
    """What would run, and why. Reads the Hub, writes nothing."""
    steps: list[Step] = []
    done: dict[str, Ref] = {}
    for s in wanted(recipe, only):
        missing = [
            source.name
            for source in s.inputs(recipe).values()
            if isinstance(source, FromStage) and source.name not in done
        ]
        if missing:
            steps.append(Step(s, None, f"{missing[0]} runs first"))
            continue
        try:
            identity = s.identity(recipe, pin(s, recipe, session, done))
        except HubError as error:
            # What a run brings along itself (the quickstart's parts, a topic file) may not be there yet.
            brought = recipe.brainstorm.topics.endswith(".txt") or (recipe.offline and isinstance(error, NotFound))
            steps.append(Step(s, None, "new" if s.name == "brainstorm" and brought else error.where))
            continue
        ref = session.hub.find(s.kind, s.repo(session.org), tag_of(fingerprint_of(identity)))
        if ref:
            done[s.name] = ref
        steps.append(Step(s, ref, "cached" if ref else _why(s, identity, session)))
    return steps


def pin(s: Stage, recipe: Recipe, session: Session, done: dict[str, Ref]) -> dict[str, Ref]:
    """Every input as a version."""
    return {
        name: done[source.name] if isinstance(source, FromStage) else pin_repo(source, session)
        for name, source in s.inputs(recipe).items()
    }


def pin_repo(source: FromHub, session: Session) -> Ref:
    """The version a Hub input stands for now."""
    return session.hub.pin(source.kind, session.full_name(source.name))


def _why(s: Stage, identity: dict[str, Any], session: Session) -> str:
    """Which field or input differs from the last run of this stage."""
    head = session.hub.head(s.kind, s.repo(session.org))
    try:
        record = session.hub.record(head) if head else None
    except HubError:
        return "new: the record of the last version cannot be read"
    if not record:
        return "new"
    before, after = _flat(record.identity), _flat(identity)
    changed = [key for key in after if before.get(key) != after[key]]
    if not changed:
        return "new"
    key = changed[0]
    more = f" (+{len(changed) - 1} more)" if len(changed) > 1 else ""
    if key.startswith("prompts."):
        return f"prompt {key.removeprefix('prompts.')} changed{more}"
    return f"{key.removeprefix('recipe.')} {_short(before.get(key))} → {_short(after[key])}{more}"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{prefix}{key}.").items()}
    return {prefix[:-1]: value}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:20] + "…" + text[-12:]
