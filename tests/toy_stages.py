"""Stages on the embedded Hub, with a model that always answers the same to one prompt; nothing is trained."""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fake_openai import Asked, FakeOpenAI, Reply, as_json, choices
from pydantic import BaseModel

from hub_speed.errors import RanksLeft
from hub_speed.hub import RECORD, Hub
from hub_speed.llm.address import Address
from hub_speed.parquet import write_parquet
from hub_speed.pipeline.plan import pin, plan
from hub_speed.pipeline.rank import run_rank
from hub_speed.pipeline.ranked import Ranked
from hub_speed.pipeline.ranks import publish
from hub_speed.pipeline.run import Result, run
from hub_speed.pipeline.session import Session
from hub_speed.recipe import Recipe
from hub_speed.record import Json, Ref, RunRecord, fingerprint_of, tag_of
from hub_speed.rows import TopicRow

CARD = "---\nlicense: cc0-1.0\n---\n\n# Toy\n"
TASKS = [{"id": f"t{i}", "task_type": "sts", "task": "Find it", "topic": f"Arts/Topic_{i}"} for i in range(40)]
FIXED: Json = {
    "name": "toy",
    "license": "cc0-1.0",
    "mixture": {"sts": 1},
    "brainstorm": {"topics": "topics"},
    "runtime": {"in_flight": 6, "reask": False, "max_reject_rate": 0.9, "retries": 1},
    "generator": {"base_model": "base"},
    "decontaminate": {"against": []},
}


def answer(asked: Asked) -> Reply:
    """What the schema of a request asks for; one of four is no JSON, and some repeat others."""
    return as_json(choices(asked, texts(asked)))


def texts(asked: Asked) -> list[str]:
    """The texts of an answer."""
    return [_text(asked, zlib.crc32(f"{asked.prompt} {i}".encode())) for i in range(asked.n)]


def _text(asked: Asked, drawn: int) -> str:
    if drawn % 4 == 0:
        return "no"
    schema = asked.body["response_format"]["json_schema"]["schema"]
    return json.dumps({name: _value(name, schema["properties"][name], asked, drawn) for name in schema["required"]})


def _value(name: str, field: Json, asked: Asked, drawn: int) -> Any:
    if name == "tasks":
        return [f"Find the {each} of writer {drawn % 9}." for each in ("plays", "books", "films")]
    if name in ("best", "worst"):
        shown = re.findall(r"^\[\d\] <<<\n(.*?)\n>>>", asked.prompt, re.MULTILINE | re.DOTALL)
        liked = sorted(shown, key=lambda text: (text[0] == "{", zlib.crc32(text.encode())))
        return shown.index(liked[-1 if name == "best" else 0]) if drawn % 5 else len(name) % 2  # or by its place
    if name == "labels":
        return [("yes", "no", "unsure")[(drawn + i) % 3] for i in range(field["maxItems"])]
    draft = re.search(r"^Draft:\n<<<\n({.*})\n>>>", asked.prompt, re.MULTILINE)
    if name == "revision" and draft and drawn % 3 == 0:
        return json.loads(draft[1])  # nothing is changed
    if field.get("type") == "object":
        return {each: _value(each, {}, asked, drawn) for each in field["required"]}
    return " ".join(f"{name}{drawn % 61}x{i}" for i in range(8))


class Toy:
    """A recipe on a Hub, in as many organisations as a test wants."""

    def __init__(self, folder: Path, server: FakeOpenAI, hub: Hub) -> None:
        self.folder, self.server, self.hub, self.url = folder, server, hub, server.url
        server.answer = answer

    def recipe(self, **values: Any) -> Recipe:
        return Recipe.model_validate(FIXED | values)

    def session(self, org: str = "org") -> Session:
        """A session as another process would have it."""

        @contextmanager
        def address(
            recipe: Recipe, name: str, weights: Path | None, threads: int, log: Path, devices: tuple[str, ...]
        ) -> Iterator[Address]:
            yield Address(name, "m", (self.url,), place=name)

        return Session(self.hub, org, self.folder / "home", address)

    def run(self, recipe: Recipe, stage: str, org: str = "org", *, extend: bool = False) -> Result:
        """The stage as one process makes it."""
        session = self.session(org)
        session.extend = extend
        return run(recipe, session, only=stage)[-1]

    def run_ranks(self, recipe: Recipe, stage: str, world: int, org: str = "org", *, extend: bool = False) -> Result:
        """The stage as ranks make it, one after the other."""
        session = self.session(org)
        session.extend = extend
        ranked = Ranked(recipe, session, stage, world, None)
        while True:
            for rank in range(world):
                run_rank(ranked, rank)
            with suppress(RanksLeft):
                return publish(ranked)

    def begin(self, org: str = "org") -> None:
        """Publish what no stage makes: topics, and the base model."""
        rows = [{"topic": f"Arts/Topic_{i}"} for i in range(12)]
        topics, base = (Ref(kind, f"{org}/{name}", "") for kind, name in (("dataset", "topics"), ("model", "base")))
        self._publish(topics, "content-1", {}, lambda folder: write_parquet(rows, TopicRow, folder / "data"))
        self._publish(base, "content-1", {}, lambda folder: None)

    def put(
        self,
        recipe: Recipe,
        stage: str,
        fill: Callable[[Path], object],
        org: str = "org",
        *,
        extends: str = "",
        rows: int = 0,
    ) -> Ref:
        """Publish a stage as if it had run."""
        session = self.session(org)
        *before, step = plan(recipe, session, stage)
        s, done = step.stage, {each.stage.name: each.ref for each in before if each.ref}
        refs = pin(s, recipe, session, done)
        identity = s.identity(recipe, refs)
        record = RunRecord(
            stage=s.name,
            fingerprint=fingerprint_of(identity),
            recipe="toy",
            identity=identity,
            inputs=refs,
            lineage={},
            license="cc0-1.0",
            extends=extends,
            accepted=rows,
        )
        where = Ref(s.kind, s.repo(org), "")
        return self._publish(where, tag_of(record.fingerprint), {RECORD: record.model_dump_json()}, fill)

    def put_rows(self, recipe: Recipe, stage: str, kind: type[BaseModel], rows: list[Json], org: str = "org") -> None:
        """Publish rows of one task type as if a stage had made them."""
        self.put(recipe, stage, lambda folder: write_parquet(rows, kind, folder / "data" / "all"), org)

    def put_model(self, recipe: Recipe, stage: str, org: str = "org") -> None:
        """Publish a model as if it had been trained; the server stands for all of them."""
        self.put(recipe, stage, lambda folder: (folder / "model.safetensors").write_text("weights"), org)

    def files(self, result: Result) -> dict[str, bytes]:
        """The data files of a version."""
        folder = self.hub.fetch(result.ref, "data/*") / "data"
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}

    def _publish(self, where: Ref, tag: str, files: dict[str, str], fill: Callable[[Path], object]) -> None:
        folder = self.folder / "made" / f"{where.repo}-{tag}"
        folder.mkdir(parents=True)
        for name, content in ({"README.md": CARD} | files).items():
            (folder / name).write_text(content)
        fill(folder)
        return self.hub.publish(where.kind, where.repo, folder, message="x", tag=tag)
