"""What a version comes from: data, generators, bases, each at its commit, as the records (`speed_run.json`) say."""

from dataclasses import dataclass, field

from hub_speed.errors import HubError, NotFound
from hub_speed.hub import RECORD, Hub
from hub_speed.record import Ancestor, Kind, Ref, RunRecord, of_teacher


@dataclass(frozen=True)
class Version:
    """What is known of one version.

    Attributes:
        stage: what made it; empty for what no stage made.
        rows: how many it has, or was trained on; 0 if unknown.
        teachers: the teachers that were asked to make it.
        licences: what its record or its card says; `[""]` where neither says anything.
        inputs: what it was made from, by the names the stage gives its inputs.
        problem: why it cannot be read; empty when it can.
    """

    stage: str = ""
    rows: int = 0
    teachers: list[str] = field(default_factory=list)
    licences: list[str] = field(default_factory=list)
    inputs: dict[str, Ref] = field(default_factory=dict)
    problem: str = ""


def find(hub: Hub, name: str) -> Ref:
    """The version of a model or dataset: `org/name`, with `@revision`; `datasets/org/name` says the kind as well.

    Raises:
        NotFound: there is no such repository or revision.
        HubError: a model and a dataset have this name, or the Hub does not answer.
    """
    kinds: tuple[Kind, Kind] = ("model", "dataset")
    for kind in kinds:
        if name.startswith(f"{kind}s/") and name.partition("@")[0].count("/") == 2:
            return hub.pin(kind, name.removeprefix(f"{kind}s/"))
    found: list[Ref] = []
    missing: dict[Kind, NotFound] = {}
    for kind in kinds:
        try:
            found.append(hub.pin(kind, name))
        except NotFound as error:
            missing[kind] = error
    if not found:
        for kind, problem in missing.items():
            if hub.head(kind, name.partition("@")[0]):  # only the revision is missing
                raise problem
        raise NotFound(f"{name}: neither a model nor a dataset of {hub.shown}", got=problem.got, fix=problem.fix)
    if len(found) > 1:
        raise HubError(
            f"{name}: a model and a dataset have this name", fix=f"say which: models/{name}, datasets/{name}"
        )
    return found[0]


def lineage(hub: Hub, ref: Ref) -> dict[Ref, Version]:
    """A version and everything that it comes from, the nearest first. What the Hub no longer has is there as a problem.

    Raises:
        HubError: the version has no record, or the Hub does not answer.
    """
    record = hub.record(ref)
    if record is None:
        raise HubError(
            f"{ref}: {RECORD} is missing",
            expected="a repository that hub_speed has published: only those say what they come from",
            fix="check the name and the revision",
        )
    found = {ref: _made(record)}
    waiting = list(found[ref].inputs.values())
    for version in waiting:  # which grows
        if version not in found:
            found[version] = _read(hub, version, record.lineage.get(version.version, Ancestor()))
            waiting += found[version].inputs.values()
    return found


def _read(hub: Hub, ref: Ref, remembered: Ancestor) -> Version:
    """What a version says of itself or, where it cannot be read, what a later record has kept of it."""
    try:
        record = hub.record(ref)
        return _made(record) if record else Version(licences=hub.licences(ref))
    except NotFound as error:
        return Version(remembered.stage, remembered.accepted, licences=remembered.licences, problem=error.where)


def _made(record: RunRecord) -> Version:
    rows = sum(record.by_task_type.values()) or record.accepted
    return Version(record.stage, rows, teachers(record), [record.license], record.inputs)


def teachers(record: RunRecord) -> list[str]:
    """The names of the teachers that were asked; none where no teacher was."""
    recipe = record.identity.get("recipe")
    settings = recipe.get("teacher") if isinstance(recipe, dict) else None
    model = settings.get("model") if isinstance(settings, dict) else None
    if not model or not of_teacher(record.calls):
        return []
    return [str(name) for name in model] if isinstance(model, dict) else [str(model)]
