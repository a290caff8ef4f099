"""A release: the embedder's card with scores and licences, release.json, CHANGELOG.md; one commit and one tag.

Every repository of the run gets the tag, so that `<org>/speed-embedder@v1.0` and `<org>/speed-synthetic@v1.0` belong
together. The commit is on top of the branch and holds the embedder's own files: what was measured is what is released.
"""

import re
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_speed.cards import licences, render
from hub_speed.cards.licences import Source
from hub_speed.errors import HubError, NotFound, RecipeError
from hub_speed.evaluation import published_scores
from hub_speed.hub import Hub
from hub_speed.mix import as_mix
from hub_speed.pipeline import run
from hub_speed.pipeline.run import Result
from hub_speed.pipeline.session import Session
from hub_speed.recipe import Recipe
from hub_speed.record import Ref, tag_of
from hub_speed.versions import changes, manifest
from hub_speed.versions.lineage import lineage, teachers
from hub_speed.versions.manifest import Manifest, Member

EVAL_RESULTS = ".eval_results/hub_speed.yaml"
"""From which the Hub fills leaderboards."""


@dataclass(frozen=True)
class Released:
    """What came of it.

    Attributes:
        embedder: the released version.
        tagged: how many repositories got the tag now; 0 when there was nothing to do.
        notes: what a person should read.
    """

    embedder: Ref
    tagged: int
    notes: list[str]


def release(recipe: Recipe, session: Session, tag: str, *, allow_conflict: bool = False) -> Released:
    """Publish a finished run's embedder with its scores, under a tag.

    Raises:
        RecipeError: the run is not finished, the tag is not valid or is another version's, or the recipe's licence is
            more permissive than that of an input; nothing was written.
        HubError: the Hub does not answer or refuses.
    """
    if not manifest.TAG.fullmatch(tag):
        raise _no_tag(tag)
    hub, results = session.hub, run.finished(recipe, session)
    embedder, scored = (_finished(name, results, recipe, session) for name in ("embedder", "evaluate"))
    hub.check_may_write("model", embedder.ref.repo)
    stated = _stated(hub, recipe, embedder, {result.ref for result in results})
    sources = [Source(str(ref), licence) for ref, found in stated.items() for licence in found]
    conflicts = licences.conflicts(recipe.license, sources)
    if conflicts and not allow_conflict:
        raise RecipeError(
            f"release {recipe.name}: the licence {recipe.license} is more permissive than what it comes from",
            got="; ".join(conflicts),
            fix="--set license=… (changes the released card alone), or --allow-licence-conflict (said in the card)",
        )
    notes = licences.notes(sources, () if recipe.offline else as_mix(recipe.teacher.model))
    holds = _manifest(recipe, results, tag, embedder, scored, stated)
    kept = _kept(hub, holds)
    tagged = _tag_all(hub, holds)
    released = hub.find("model", embedder.ref.repo, tag)
    if released is None:
        section = _section(recipe, scored, tag, sources, conflicts, notes)
        released = _publish(hub, recipe, session, embedder, _files(hub, recipe, embedder, scored, holds, section), tag)
        tagged += 1
    newest = [each for each in hub.tags("model", released.repo) if manifest.TAG.fullmatch(each)][:1]
    if newest == [tag]:  # a later release has its own notes
        run.collect(recipe, session, results, tag)
    return Released(released, tagged, [*conflicts, *notes, *kept])


def _no_tag(tag: str, got: str = "") -> RecipeError:
    """The error for a name that a release may not have."""
    return RecipeError(f"--tag {tag}: not a tag for a release", expected="for example v1.0", got=got)


def _finished(name: str, results: list[Result], recipe: Recipe, session: Session) -> Result:
    """The finished stage of that name.

    Raises:
        RecipeError: it is not finished.
    """
    if found := next((result for result in results if result.stage.name == name), None):
        return found
    raise RecipeError(
        f"release {recipe.name}: {name} is not finished",
        fix=f"hub-speed run {shlex.quote(recipe.given)} --org {session.org}",
    )


def _files(hub: Hub, recipe: Recipe, embedder: Result, scored: Result, holds: Manifest, section: str) -> dict[str, str]:
    """The files that the release adds to the embedder's, or writes anew."""
    scores = _results(scored)
    card = hub.released_card(embedder.ref, section, scores, recipe.license)
    return {
        "README.md": card.replace(tag_of(embedder.record.fingerprint), holds.tag),  # in how it is loaded
        EVAL_RESULTS: hub.eval_results(scores + _subsets(scored), scored.ref, scored.record.measures.scored_on),
        manifest.FILE: holds.model_dump_json(indent=1) + "\n",
        changes.FILE: changes.changelog(hub, holds),
    }


def _stated(hub: Hub, recipe: Recipe, embedder: Result, own: set[Ref]) -> dict[Ref, list[str]]:
    """The licences of what the embedder comes from, however far back, but for what this run has made itself.

    Of the labelled sets that are mixed in, what the recipe says counts as well, whatever their cards say.

    Raises:
        NotFound: the Hub does not have one of them any more.
    """
    found = lineage(hub, embedder.ref)
    if gone := next((version.problem for version in found.values() if version.problem), ""):
        raise NotFound(gone, fix="a release names all that it comes from: ask for access, or run the stages again")
    inputs = [(name, ref) for version in found.values() for name, ref in version.inputs.items()]
    trained_on = {ref for name, ref in inputs if not name.startswith("benchmark ")}  # nothing is made of a test set
    stated = {ref: list(version.licences) for ref, version in found.items() if ref in trained_on - own}
    for each in recipe.embedder.labelled:
        licence = each.license.lower()
        of_set = stated[embedder.record.inputs[f"labelled {each.repo}"]]
        of_set += [] if licence in of_set else [licence]
    return stated


def _manifest(
    recipe: Recipe, results: list[Result], tag: str, embedder: Result, scored: Result, stated: dict[Ref, list[str]]
) -> Manifest:
    """What the release holds."""
    members = {
        result.ref.repo: Member(
            kind=result.ref.kind,
            commit=result.ref.commit,
            stage=result.stage.name,
            fingerprint=result.record.fingerprint,
            licence=result.record.license,
            teachers=teachers(result.record),
        )
        for result in results
    }
    return Manifest(
        tag=tag,
        recipe=recipe.name,
        embedder=embedder.ref.repo,
        licence=recipe.license,
        repositories=members,
        sources={ref.version: licences for ref, licences in stated.items()},
        scores=[score for score in scored.record.measures.scores if score["subject"] == "embedder"],
    )


def _section(
    recipe: Recipe, scored: Result, tag: str, sources: list[Source], conflicts: list[str], notes: list[str]
) -> str:
    """The part of the card that a release adds."""
    measures = scored.record.measures
    return (
        render.environment("model")
        .get_template("release.md")
        .render(
            tag=tag,
            scores=sorted(measures.scores, key=lambda score: (score["benchmark"], score["measure"])),
            is_mteb=published_scores.is_mteb,
            averages=published_scores.averages(measures.scores),
            comparison=published_scores.comparison(measures.scores),
            failed=measures.failed,
            org=scored.ref.repo.split("/")[0],
            results=str(scored.ref),
            mteb=scored.record.packages.get("mteb", ""),
            licence=recipe.license,
            sources=sources,
            conflicts=conflicts,
            notes=notes,
        )
    )


def _results(scored: Result) -> list[dict[str, Any]]:
    """The embedder's scores, in the fields of huggingface_hub's `EvalResult`."""
    found = []
    for score in scored.record.measures.scores:
        if score["subject"] != "embedder":
            continue
        dataset, _, revision = score["dataset"].partition("@")
        found.append(
            {
                "task_name": score["benchmark"] if published_scores.is_mteb(score) else score["task_type"].lower(),
                "task_type": re.sub(r"(?<=[a-z])(?=[A-Z])", "-", score["task_type"]).lower(),
                "dataset_type": dataset,
                "dataset_name": ("MTEB " if published_scores.is_mteb(score) else "") + score["benchmark"],
                "dataset_split": "test",
                "dataset_revision": revision,
                "metric_type": score["measure"].lower().replace("@", "_at_"),
                "metric_name": score["measure"],
                "metric_value": round(score["value"], 4),
            }
        )
    return found


def _subsets(scored: Result) -> list[dict[str, Any]]:
    """The parts of the embedder's scores on tasks of mteb, in the fields that `Hub.eval_results` reads."""
    return [
        {
            "task_name": part["task_id"],
            "dataset_type": part["dataset"].partition("@")[0],
            "dataset_revision": part["dataset"].partition("@")[2],
            "metric_name": part["measure"],
            "metric_value": part["value"],
        }
        for part in scored.record.measures.subsets
    ]


def _kept(hub: Hub, holds: Manifest) -> list[str]:
    """A note where repositories are public, and new ones were to be private, or the other way round."""
    found = [hub.kept(member.kind, repo) for repo, member in holds.repositories.items()]
    kept = [each for each in found if each]
    return [f"repositories that exist stay as they are: {len(kept)} are {kept[0]}"] if kept else []


def _tag_all(hub: Hub, holds: Manifest) -> int:
    """Tag the repositories of the run but the embedder's; look at all of them before the first is tagged."""
    todo = []
    for ref in map(holds.ref, holds.repositories):
        if holds.tag in hub.branches(ref.kind, ref.repo):
            raise _no_tag(holds.tag, got=f"a branch of {ref.repo} has this name")
        there = hub.find(ref.kind, ref.repo, holds.tag)
        if ref.repo == holds.embedder:
            same = there is None or manifest.read(hub, there) == holds
        else:
            same = there in (None, ref)
            todo += [ref] if there is None else []
        if not same:
            raise HubError(
                f"--tag {holds.tag}: {there} has it already, and is another version",
                fix="choose another tag; a tag that people may have loaded is not moved",
            )
    for ref in todo:
        hub.tag(ref, holds.tag)
    return len(todo)


def _publish(hub: Hub, recipe: Recipe, session: Session, embedder: Result, new: dict[str, str], tag: str) -> Ref:
    """The embedder's files, and new ones by name: one commit and its tag. Files the Hub has are not sent again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in (files := hub.fetch(embedder.ref)).rglob("*"):
            if path.is_file():
                place = folder / path.relative_to(files)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(path.resolve())
        for file, text in new.items():
            (folder / file).unlink(missing_ok=True)
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text, "utf-8")
        return hub.publish(
            "model", embedder.ref.repo, folder, message=f"release: {recipe.name}", tag=tag, branch=session.branch
        )
