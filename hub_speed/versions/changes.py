"""What a release changes, compared with the one before it: a section of CHANGELOG.md in the embedder's repository.

It is a file of its own, not a part of the card: a card is written anew by every run, a history only grows.
"""

import hashlib
from collections.abc import Iterator
from itertools import islice

import pyarrow.parquet as pq

from hub_speed.cards import render
from hub_speed.errors import NotFound
from hub_speed.hub import Hub
from hub_speed.parquet import read_parquet
from hub_speed.pipeline.plan import flat
from hub_speed.record import Json, Ref, RunRecord
from hub_speed.versions import manifest
from hub_speed.versions.manifest import Manifest

FILE = "CHANGELOG.md"

TEXTS = ("task_type", "instruction", "query", "positive", "negative", "positives", "negatives")
"""The columns of a row that an embedder is trained on; another row has another value in one of them. Only rows about
documents have the last two."""


def changelog(hub: Hub, after: Manifest) -> str:
    """The changelog of a release: its own section above the changelog of the release before it."""
    previous = _previous(hub, after)
    before = manifest.read(hub, previous) if previous else None
    facts = _facts(hub, before, after) if before else {}
    section = render.environment("model").get_template("changes.md").render(tag=after.tag, before=before, **facts)
    older = (hub.text(previous, FILE) or "") if previous else ""
    return f"# Changelog\n\n{section.strip()}\n\n{older.removeprefix('# Changelog').strip()}".rstrip() + "\n"


def _previous(hub: Hub, after: Manifest) -> Ref | None:
    """The newest release of this embedder, which has a release.json."""
    for tag, ref in hub.tags("model", after.embedder).items():
        if tag != after.tag and manifest.TAG.fullmatch(tag) and hub.text(ref, manifest.FILE) is not None:
            return ref
    return None


def _facts(hub: Hub, before: Manifest, after: Manifest) -> Json:
    """What is different; `lost` where the repositories of the release before cannot be read any more."""
    try:
        old = {member.stage: _record(hub, before.ref(repo)) for repo, member in before.repositories.items()}
        new = {member.stage: _record(hub, after.ref(repo)) for repo, member in after.repositories.items()}
        return {
            "lost": "",
            "counts": _counts(old, new),
            "rows": _rows(hub, old["embedder"].inputs["data"], new["embedder"].inputs["data"]),
            "settings": [line for stage in new if stage in old for line in _settings(stage, old[stage], new[stage])],
            "models": _models(before, after),
            "scores": _scores(before.scores, after.scores),
        }
    except NotFound as error:
        return {"lost": error.where}


def _record(hub: Hub, ref: Ref) -> RunRecord:
    record = hub.record(ref)
    if record is None:
        raise NotFound(f"{ref}: its record is missing")
    return record


def _counts(old: dict[str, RunRecord], new: dict[str, RunRecord]) -> list[Json]:
    """Rows of each stage before and now, where they differ; None where a release has no such stage."""
    lines = [
        {"stage": stage, "before": _size(old.get(stage)), "now": _size(new.get(stage))} for stage in {**old, **new}
    ]
    return [line for line in lines if line["before"] != line["now"]]


def _size(record: RunRecord | None) -> int | None:
    return None if record is None else sum(record.by_task_type.values()) or record.accepted


def _rows(hub: Hub, before: Ref, now: Ref) -> Json:
    """How many of the rows that the embedder is trained on are new, and how many are gone."""
    if before == now:
        return {"data": str(now), "added": 0, "removed": 0}
    old, new = set(_digests(hub, before)), set(_digests(hub, now))
    return {"data": str(now), "added": len(new - old), "removed": len(old - new)}


def _digests(hub: Hub, ref: Ref) -> Iterator[int]:
    """64 bits of each row's texts: a million rows take some 70 MB, and two alike by chance are one in 10 million."""
    data = hub.fetch(ref, "data/*") / "data"
    there = {name for path in islice(data.rglob("*.parquet"), 1) for name in pq.read_schema(path).names}
    for row in read_parquet(data, [name for name in TEXTS if name in there]):
        yield int.from_bytes(hashlib.blake2b(repr([row.get(name) for name in TEXTS]).encode(), digest_size=8).digest())


def _settings(stage: str, old: RunRecord, new: RunRecord) -> list[Json]:
    """Prompts and recipe fields of a stage that differ; of a prompt, records keep the hash."""
    before, now = flat(old.identity), flat(new.identity)
    found = []
    for name in {**before, **now}:
        section, _, short = name.partition(".")
        values = [str(values.get(name, "–")) for values in (before, now)]
        if values[0] == values[1] or section == "inputs":
            continue
        if section == "prompts":
            short, values = f"prompt {short}", [value[:7] for value in values]
        found.append({"stage": stage, "field": short or section, "before": values[0], "now": values[1]})
    return found


def _models(before: Manifest, after: Manifest) -> list[Json]:
    """Models and inputs of others that are another version now, or came or went."""
    old, new = _versions(before), _versions(after)
    lines = [{"repo": repo, "before": old.get(repo, "–"), "now": new.get(repo, "–")} for repo in {**old, **new}]
    return [line for line in lines if line["before"] != line["now"]]


def _versions(release: Manifest) -> dict[str, str]:
    models = {repo: member.commit for repo, member in release.repositories.items() if member.kind == "model"}
    others = dict(name.split("@", 1) for name in release.sources)
    return {repo: commit[:7] for repo, commit in (models | others).items()}


def _scores(before: list[Json], now: list[Json]) -> list[Json]:
    """Every score of the new release beside that of the old one, where the same was measured."""
    keys = ("benchmark", "measure", "dataset")
    old = {tuple(score[key] for key in keys): score for score in before}
    found = []
    for score in now:
        was = old.get(tuple(score[key] for key in keys))
        found.append(score | {"was": was and was["value"], "moved": was and score["value"] - was["value"]})
    return found
