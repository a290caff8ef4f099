"""What would run, and why."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from hub_speed.errors import HubError, NotFound, RecipeError
from hub_speed.pipeline.session import Session
from hub_speed.pipeline.table import wanted
from hub_speed.recipe import TOPIC_FILES, Recipe
from hub_speed.record import Ref, RunRecord, fingerprint_of, tag_of
from hub_speed.stage import SURPLUS, Estimate, FromHub, FromStage, Stage


@dataclass(frozen=True)
class Step:
    """One line of a plan.

    Attributes:
        ref: the finished version, when there is one.
        why: "cached", or why it has to run.
        problem: why it cannot: an input on the Hub is missing, or may not be read.
    """

    stage: Stage
    ref: Ref | None
    why: str
    problem: NotFound | None = None


def plan(recipe: Recipe, session: Session, only: str | None = None, again: Collection[str] = ()) -> list[Step]:
    """What would run, and why. Reads the Hub, writes nothing; stages named in `again` run in any case.

    Raises:
        HubError: the Hub does not answer.
        RecipeError: `corpus.source` is needed and names nothing that can be read.
    """
    steps: list[Step] = []
    done: dict[str, Ref] = {}
    for s in wanted(recipe, only):
        if s.name == "corpus" and not recipe.corpus.source:
            raise RecipeError(
                f"recipe {recipe.name}: corpus.source is empty",
                expected="a folder, a file, or a Hub dataset as org/name",
                fix="name your documents: --set corpus.source=./handbook",
            )
        try:
            step = _step(s, recipe, session, done, s.name in again)
        except NotFound as error:
            step = Step(s, None, error.where, error)
        if step.ref:
            done[s.name] = step.ref
        steps.append(step)
    return steps


def tasks_found(steps: list[Step], session: Session) -> dict[str, int]:
    """Task type → how many tasks were brainstormed, once that is finished; else nothing."""
    ref = next((step.ref for step in steps if step.stage.name == "brainstorm"), None)
    try:
        record = session.hub.record(ref) if ref else None
    except HubError:  # of another version: a plan can do without
        return {}
    return record.by_task_type if record else {}


def _step(s: Stage, recipe: Recipe, session: Session, done: dict[str, Ref], again: bool) -> Step:
    """One line of the plan.

    Raises:
        NotFound: an input on the Hub is missing or, where the stage has to run, may not be read.
    """
    sources = [source for source in s.inputs(recipe).values() if isinstance(source, FromHub)]
    there = [source for source in sources if not _is_brought(source, recipe, session)]
    missing = [other for other in s.inputs(recipe).values() if isinstance(other, FromStage) and other.name not in done]
    _pin_all(there, session)
    why = f"after {missing[0].name}" if missing else "asked for again" if again else "new"
    if not missing and there == sources:
        identity = s.identity(recipe, pin(s, recipe, session, done))
        ref = session.hub.find(s.kind, s.repo(session.org), tag_of(fingerprint_of(identity)))
        if ref and not again:
            return Step(s, ref, "cached")
        why = why if again else _why(s, identity, session)
    for source in there:
        session.hub.check_access(pin_repo(source, session))
    return Step(s, None, why)


def _pin_all(sources: list[FromHub], session: Session) -> None:
    """Pin inputs of the Hub.

    Raises:
        NotFound: some are missing; says which one and how many others, by name.
    """
    missing: list[NotFound] = []
    for source in sources:
        try:
            pin_repo(source, session)
        except NotFound as error:
            missing.append(error)
    if missing:
        first, *others = missing
        names = ", ".join(error.where.partition(":")[0] for error in others)
        where = f"{first.where}; missing as well: {names}" if others else first.where
        raise NotFound(where, expected=first.expected, got=first.got, fix=first.fix) from first


def _is_brought(source: FromHub, recipe: Recipe, session: Session) -> bool:
    """Whether an input is not there yet because a run brings it along: the quickstart's parts, a topic file."""
    if source.name.endswith(TOPIC_FILES):
        return True
    if not recipe.offline or "/" in source.name:
        return False
    try:
        pin_repo(source, session)
    except NotFound:
        return True
    return False


def pin(s: Stage, recipe: Recipe, session: Session, done: dict[str, Ref]) -> dict[str, Ref]:
    """Every input as a version."""
    return {
        name: done[source.name] if isinstance(source, FromStage) else pin_repo(source, session)
        for name, source in s.inputs(recipe).items()
    }


def pin_repo(source: FromHub, session: Session) -> Ref:
    """The version that a Hub input stands for, the same for the whole session.

    Raises:
        NotFound: it is missing, or the token may not see it.
    """
    whole = FromHub(source.kind, source.name)
    if whole not in session.pins:
        try:
            session.pins[whole] = session.hub.pin(source.kind, session.full_name(source.name))
        except NotFound as error:
            if not source.missing:
                raise
            raise NotFound(f"{error.where}; {source.missing}", got=error.got, fix=error.fix) from error
    return session.pins[whole]


def at_last_yield(s: Stage, estimate: Estimate, session: Session) -> Estimate:
    """The estimate of a stage, at the yield of its last run if there is one on the Hub."""
    if estimate.expected is None:
        return estimate
    try:
        record = _last_record(s, session)
    except HubError:
        return estimate
    fit = record.accepted + record.rejected.get(SURPLUS, 0) if record else 0
    return estimate.at_yield(fit / record.rows_in) if record and fit else estimate


def _last_record(s: Stage, session: Session) -> RunRecord | None:
    """How the last version of a stage was made.

    Raises:
        HubError: the record cannot be read.
    """
    head = session.hub.head(s.kind, s.repo(session.org))
    return session.hub.record(head) if head else None


def _why(s: Stage, identity: dict[str, Any], session: Session) -> str:
    """Which field or input differs from the last run of this stage."""
    try:
        record = _last_record(s, session)
    except HubError:
        return "new: the record of the last version cannot be read"
    if not record:
        return "new"
    before, after = flat(record.identity), flat(identity)
    changed = [key for key in after if before.get(key) != after[key]]
    if not changed:
        return "new"
    key = changed[0]
    more = f" (+{len(changed) - 1} more)" if len(changed) > 1 else ""
    if key.startswith("prompts."):
        return f"prompt {key.removeprefix('prompts.')} changed{more}"
    return f"{key.removeprefix('recipe.')} {_short(before.get(key))} → {_short(after[key])}{more}"


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested fields by their whole names, `section.field`."""
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{prefix}{key}.").items()}
    return {prefix[:-1]: value}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:20] + "…" + text[-12:]
