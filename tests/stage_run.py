"""One stage, run by itself on input folders, against a server that answers as told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fake_openai import FakeOpenAI
from pydantic import BaseModel

from hub_speed.llm.address import Address
from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import Recipe
from hub_speed.record import RunRecord
from hub_speed.rows import LedgerRow
from hub_speed.stage import Context


class Silent:
    """Progress that only remembers."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def start(self, total: int, unit: str, done: int = 0) -> None:
        self.total, self.done = total, done

    def advance(self, n: int) -> None:
        self.done += n

    def note(self, text: str) -> None: ...

    def measure(self, numbers: dict[str, Any]) -> None: ...


class Run:
    """One stage under a recipe: give it inputs, build it, look at what it made."""

    def __init__(self, name: str, folder: Path, server: FakeOpenAI, **values: Any) -> None:
        runtime = {"in_flight": 4, "retries": 1}
        fixed = {"name": "test", "mixture": {"sts": 1}, "sts": {"unit": {"sentence": 1}}, "runtime": runtime}
        fixed["decontaminate"] = {"against": []}  # mteb would load its tasks
        self.recipe = Recipe.model_validate(fixed | values)
        self.name, self.folder, self.asked_for = name, folder, []
        self.record = RunRecord(stage=name, fingerprint="0" * 12, recipe="test", identity={}, inputs={}, lineage={})
        self.inputs: dict[str, Path] = {}

        @contextmanager
        def address(model: str, weights: Path | None) -> Iterator[Address]:
            self.asked_for.append((model, weights))
            taught = model.partition("/")[0] == "teacher"
            dialect = "chat" if taught else "rerank" if model == "reranker" else "completion"
            prompt_format = "{prompt}" if taught else self.recipe.generator.prompt_format
            yield Address(model, f"the-{model}", (server.url,), dialect, prompt_format)

        self.ctx = Context(
            recipe=self.recipe,
            repo="org/x",
            inputs=self.inputs,
            refs={},
            out=folder / "out",
            work=folder / "work",
            record=self.record,
            progress=Silent(),
            stop=threading.Event(),
            threads=1,
            address=address,
        )

    def give(self, name: str, kind: type[BaseModel], *found: dict[str, Any]) -> "Run":
        """An input of these rows, one file a task type."""
        self.inputs[name] = folder = self.folder / f"in-{name}"
        for task_type in dict.fromkeys(row.get("task_type", "all") for row in found):
            mine = [row for row in found if row.get("task_type", "all") == task_type]
            write_parquet(mine, kind, folder / "data" / task_type)
        return self

    def build(self) -> list[dict[str, Any]]:
        """The rows that were made, by id."""
        STAGES[self.name].build(self.ctx)
        assert self.ctx.progress.done == self.ctx.progress.total  # type: ignore[attr-defined]
        assert self.record.rows_in == len(self.ledger()) == self.record.accepted + sum(self.record.rejected.values())
        return sorted(read_parquet(self.ctx.out / "data"), key=lambda row: row["id"])

    def ledger(self) -> dict[str, dict[str, Any]]:
        found = {entry["id"]: entry for entry in read_parquet(self.ctx.out / "ledger")}
        for entry in found.values():
            LedgerRow.model_validate(entry)
        return found
