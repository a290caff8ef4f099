"""`release.json` in the embedder's repository: every repository of a release, each at its commit."""

import re
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from hub_speed.errors import HubError
from hub_speed.hub import Hub
from hub_speed.record import Json, Kind, Ref

FILE = "release.json"

TAG = re.compile(r"(?!run-|content-|(?:main|HEAD|[0-9A-Fa-f]{7,40})$)[A-Za-z0-9][A-Za-z0-9._-]*")
"""`run-` and `content-` are the pipeline's own; git takes HEAD, and what may be the start of a commit, for another."""

Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Repo = Annotated[str, Field(pattern=r"^[^/@]+/[^/@]+$")]
Version = Annotated[str, Field(pattern=r"^[^@]+@[0-9a-f]{40}$")]


class Member(BaseModel):
    """One repository of a release.

    Attributes:
        commit: what the run has published. The release adds files to the embedder; the tag names that commit.
        stage: the stage that made it.
        fingerprint: of what decided the result (`stage.Stage.identity`).
        teachers: the teachers that were asked for it.
    """

    kind: Kind
    commit: Commit
    stage: str
    fingerprint: str
    licence: str
    teachers: list[str] = []


class Manifest(BaseModel):
    """What a release holds.

    Attributes:
        embedder: the repository that has this file.
        licence: of the released embedder.
        repositories: name → version.
        sources: the versions of others that the embedder comes from → the licences they name.
        scores: the embedder's (`rows.ScoreRow`).
    """

    tag: str
    recipe: str
    embedder: Repo
    licence: str
    repositories: dict[Repo, Member]
    sources: dict[Version, list[str]]
    scores: list[Json]

    def ref(self, repo: str) -> Ref:
        """The version of one of the repositories."""
        member = self.repositories[repo]
        return Ref(member.kind, repo, member.commit)

    def of_stage(self, stage: str) -> Ref | None:
        """The version that a stage has made, or None."""
        return next((self.ref(repo) for repo, member in self.repositories.items() if member.stage == stage), None)


def read(hub: Hub, ref: Ref) -> Manifest | None:
    """What a released embedder says of its release, or None when it says nothing.

    Raises:
        HubError: the file cannot be read.
    """
    text = hub.text(ref, FILE)
    try:
        return None if text is None else Manifest.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise HubError(
            f"{ref}: {FILE} cannot be read",
            expected="the file that a release of hub_speed has written",
            got=f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}",
        ) from error
