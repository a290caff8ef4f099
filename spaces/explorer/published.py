"""What an organisation has published: its versions, the recipe of its rows, and whatever was read of it before.

Everything starts from the newest rows to train on: their record names the very versions of tasks, generator and revisor
they were made with, and those are used. There may be two kinds: `<org>/speed-synthetic`, and rows about documents. The
kind that the newest embedder was trained on comes first. Where there are none, it starts from the passages of `corpus`.
Things are read when first needed and then kept until the process ends.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from huggingface_hub.utils._http import default_client_factory

from hub_speed.errors import HubError, HubSpeedError
from hub_speed.hosts import is_here
from hub_speed.hub import Hub, Ref
from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import Recipe
from hub_speed.record import RunRecord

Json = dict[str, Any]

SHOWN = (
    *("brainstorm", "junior", "senior", "synthesize", "revisor", "revise"),
    *("corpus", "questions", "filter", "mine", "relabel", "benchmark", "embedder"),
)
DOCUMENTS = ("relabel", "mine", "filter", "questions")
"""Stages whose rows are about documents, the last one first."""
TRAINING = ("revise", *DOCUMENTS)

HUB_S = 6.0  # until an answer of the Hub. Assumption: it takes one second at its slowest
AGAIN_S = 3.0  # before what failed is tried again: all who waited for it are told at once. Assumption

T = TypeVar("T")


def hub_client() -> Any:
    """The Hub client's own HTTP client, which would wait for ever where it is given no time."""
    client = default_client_factory()
    hooks = client.event_hooks
    client.event_hooks = hooks | {"request": [*hooks["request"], _bound]}
    return client


def _bound(request: Any) -> None:
    given = request.extensions.get("timeout", {})
    kinds = ("connect", "read", "write", "pool")
    request.extensions["timeout"] = {kind: given.get(kind) or HUB_S for kind in kinds}


class NotMade(HubError):
    """Something is not there yet, which is no fault; `fix` says how it is made."""


class Published:
    """The repositories of one organisation on one Hub."""

    def __init__(self, hub: Hub, org: str) -> None:
        self.hub, self.org = hub, org
        self._kept: Json = {}
        self._failed: dict[str, tuple[float, HubSpeedError]] = {}
        self._locks: dict[str, threading.RLock] = {}

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """Make something once, however many ask for it at the same time; what failed is tried again later."""
        with self._locks.setdefault(name, threading.RLock()):
            when, error = self._failed.get(name, (0.0, None))
            if error and time.monotonic() - when < AGAIN_S:
                raise error
            if name not in self._kept:
                try:
                    self._kept[name] = make()
                except HubSpeedError as error:
                    self._failed[name] = (time.monotonic(), error)
                    raise
            kept: T = self._kept[name]
            return kept

    # --- versions -------------------------------------------------------------------------------------------------

    def training(self) -> str:
        """The stage of the rows that are shown first.

        Those that the newest embedder was trained on; else revise, or the last one about documents; else corpus.

        Raises:
            NotMade: there are none of these.
        """
        return next(iter(self._rows()))

    def _rows(self) -> dict[str, Ref]:
        """Stage → the newest rows to train on, those of `training` first."""

        def read() -> dict[str, Ref]:
            there = {name: ref for name in TRAINING if (ref := self._head(name))}
            if not there and (corpus := self._head("corpus")):
                return {"corpus": corpus}
            there = there or {"revise": self._newest("revise")}
            data = self.trained_on()
            return dict(sorted(there.items(), key=lambda item: not data or data.repo != item[1].repo))

        return self.keep("rows", read)

    def trained_on(self) -> Ref | None:
        """The rows that the newest embedder was trained on; None where there is none, or its record names no rows."""
        embedder = self._head("embedder")
        return self.record(embedder).inputs.get("data") if embedder else None

    def of_documents(self) -> bool:
        """Whether the rows that are shown first are about documents."""
        return self.training() in (*DOCUMENTS, "corpus")

    def has_queries(self) -> bool:
        """Whether there is more than passages."""
        return self.training() != "corpus"

    def has_embedder(self) -> bool:
        """Whether there is an embedder."""
        return self._head("embedder") is not None

    def can_write(self) -> bool:
        """Whether there are rows that a generator wrote, and so the generator and its revisor."""
        return "revise" in self._rows()

    def ref(self, name: str) -> Ref:
        """The version that a stage made: of the embedder the newest, of all else what the newest rows come from.

        Raises:
            NotMade: it is not there; names the command that makes it.
            HubError: the newest rows were made without this stage.
        """
        if name == "embedder":
            return self.keep("embedder's version", lambda: self._newest("embedder"))
        if name not in self.lineage():
            if not self.has_queries():
                self._newest(name)  # what comes after the passages is not made yet
            raise HubError(f"{self.ref(self.training())} was made without a stage {name}")
        return self.lineage()[name]

    def lineage(self) -> dict[str, Ref]:
        """Stage → version; what no stage made is there by its repository's name.

        What the rows of `revise` come from counts first, so that one generator and its own revisor write; then what
        the rows of `training` come from, other rows, and the newest embedder.
        """

        def read() -> dict[str, Ref]:
            rows, found = self._rows(), dict[str, Ref]()
            first = {"revise": rows["revise"]} if self.can_write() else {}
            for newest in filter(None, [*(first | rows).values(), self._head("embedder")]):
                found.setdefault(self.record(newest).stage, newest)
                for version, node in self.record(newest).lineage.items():
                    repo, _, commit = version.partition("@")
                    made = STAGES.get(node.stage)
                    ref = Ref(made.kind if made else "model", repo, commit)
                    found.setdefault(made.name if made else repo.split("/")[-1], ref)
            return found

        return self.keep("lineage", read)

    def _head(self, name: str) -> Ref | None:
        return self.hub.head(STAGES[name].kind, STAGES[name].repo(self.org))

    def _newest(self, name: str) -> Ref:
        repo, ref = STAGES[name].repo(self.org), self._head(name)
        if ref is None:
            raise NotMade(f"{repo} is not on {self.hub.endpoint}", fix=self.how_to_make(name))
        return ref

    def how_to_make(self, name: str) -> str:
        """Half a sentence: the command that makes a stage, with the recipe of what is there if that has the stage."""
        documents = (*DOCUMENTS, "benchmark", "corpus")
        of = documents if name in documents else (*TRAINING, "corpus") if name == "embedder" else ("revise",)
        there = next(filter(None, map(self._head, of)), None)
        recipe = self.record(there).recipe if there else "domain" if name in documents else "quickstart"
        flags = f", with the recipe and flags of {there.repo}" if there else ""
        hub = "" if is_here(urlsplit(self.hub.endpoint).hostname or "") else f" --hub {self.hub.endpoint}"
        return f"make it{flags}: hub-speed run {recipe} --org {self.org}{hub} --only {name}"

    def missing(self) -> str:
        """What is not there yet and how it is made, in one sentence; empty where there is an embedder, or nothing."""
        if self.has_embedder():
            return ""
        of = "learns from these rows" if self.has_queries() else "learns from questions about these passages"
        return f"An embedder that {of} is not made yet; {self.how_to_make('embedder')}"

    def record(self, ref: Ref) -> RunRecord:
        """How a version was made.

        Raises:
            HubError: hub_speed did not make it.
        """
        record = self.hub.record(ref)
        if record is None:
            raise HubError(f"{ref} has no speed_run.json", expected="a repository that hub-speed has published")
        return record

    def versions(self) -> Json:
        """What the page's head says: the versions that are there, and whether the models are the quickstart's."""
        found = []
        for name in SHOWN:
            try:
                ref = self.ref(name)
            except HubError:
                continue
            found.append({"stage": name, "version": str(ref), "url": self.url(ref)})
        tiny = bool(found) and found[0]["stage"] != "embedder" and "tiny-base" in self.lineage()
        about: Json = {"tiny": tiny, "documents": bool(found) and not self.can_write()}
        about["missing"] = self.missing() if found else ""
        return {"org": self.org, "hub": self.hub.endpoint, "versions": found} | about

    def url(self, ref: Ref) -> str:
        """The page of a version on its Hub."""
        folder = "" if ref.kind == "model" else f"{ref.kind}s/"
        return f"{self.hub.endpoint}/{folder}{ref.repo}/tree/{ref.commit}"

    def languages(self) -> list[str]:
        """The languages that the rows were asked for in."""
        found = list(self.recipe().languages) if self.can_write() else []
        if "questions" in self.lineage():
            found += self.record(self.ref("questions")).identity["recipe"]["languages"]
        return list(dict.fromkeys(found))

    def recipe(self) -> Recipe:
        """The settings the rows were written with: mixture, knobs, languages, how generator and revisor are asked."""

        def read() -> Recipe:
            drafts, revised = (self.record(self.ref(name)).identity["recipe"] for name in ("synthesize", "revise"))
            return Recipe.model_validate({"name": "explorer"} | revised | drafts)

        return self.keep("recipe", read)
