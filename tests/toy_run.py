"""A finished run of toy repositories on the embedded Hub, as if its stages had run."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from hub_speed.hub import RECORD, Hub
from hub_speed.parquet import write_parquet
from hub_speed.pipeline import run
from hub_speed.pipeline.plan import pin
from hub_speed.pipeline.table import wanted
from hub_speed.recipe import Recipe
from hub_speed.record import Ancestor, Measures, Ref, RunRecord, fingerprint_of, tag_of
from hub_speed.rows import ItemScoreRow, LedgerRow, ScoreRow, SeedRow, TaskRow
from hub_speed.versions.release import release

SCORE = {"subject": "embedder", "task_type": "Retrieval", "measure": "nDCG@10", "benchmark": "org/bench"} | {
    "dataset": "org/bench@abc",
    "value": 0.8034,
    "low": 0.781,
    "high": 0.824,
    "n": 400,
}
SCORES = [
    SCORE,
    SCORE | {"subject": "BM25", "value": 0.722},
    SCORE | {"task_type": "rows", "measure": "yield", "benchmark": "rows", "subject": "junior", "dataset": ""},
]


def benchmark(folder: Path) -> None:
    """Two questions on one document, and a pair of sentences."""
    tables: dict[str, list[dict[str, Any]]] = {
        "corpus": [{"_id": "d", "text": "t"}],
        "queries": [{"_id": "q1", "text": "t"}, {"_id": "q2", "text": "t"}],
        "qrels": [{"query-id": each, "corpus-id": "d", "score": 1} for each in ("q1", "q2")],
        "sts": [{"sentence1": "a", "sentence2": "b", "score": 1.0}],
    }
    for name, rows in tables.items():
        (folder / name).mkdir()
        pq.write_table(pa.Table.from_pylist(rows), folder / name / "test-00000.parquet")


def lineage(hub: Hub, refs: dict[str, Ref]) -> dict[str, Ancestor]:
    """What the records of later versions keep of the earlier ones."""
    found: dict[str, Ancestor] = {}
    for ref in refs.values():
        record = hub.record(ref)
        found |= record.lineage | {ref.version: record.as_ancestor()} if record else {ref.version: Ancestor()}
    return found


def ledger_row(row_id: str, state: str, reason: str) -> dict[str, Any]:
    """A line of a ledger."""
    row = {name: [] if "list" in str(field.annotation) else "" for name, field in LedgerRow.model_fields.items()}
    row |= dict.fromkeys(("prompt_tokens", "completion_tokens", "calls", "attempts"), 1)
    row |= {"latency_s": 0.1, "similarity": None, "task_type": "sts"}
    return row | {"id": row_id, "state": state, "reason": reason}


class Made:
    """A finished run of toy repositories, and what the test wants to be different in it."""

    def __init__(self, hub: Hub, folder: Path, scores: list[dict[str, Any]], licence: str, base_licence: str) -> None:
        self.hub, self.folder = hub, folder
        offline = {"offline": True, "teacher": {"model": "offline-teacher"}}
        small = {"evaluate": {"benchmarks": ["bench"]}, "audit": {"rows": 0}, "scaling": {"sizes": []}}
        bases = {"brainstorm": {"topics": "topics"}, "embedder": {"base_model": "base", "data": "seed"}}
        self.recipe = Recipe.model_validate({"name": "toy", "license": licence, **offline, **small, **bases})
        self.session = run.Session(hub, "org", folder / "home", lambda *a: None)  # type: ignore[arg-type,return-value]
        for kind, name, given in (
            ("dataset", "topics", "cc-by-4.0"),
            ("dataset", "bench", "cc-by-nc-4.0"),  # only measured on: nothing comes from it
            ("model", "base", base_licence),
        ):
            self.publish(
                Ref(kind, f"org/{name}", ""),
                {"license": given} if given else {"tags": ["x"]},
                {},
                "content-1",
                benchmark if name == "bench" else lambda folder: None,
            )
        self.stages(scores)

    def publish(
        self,
        ref: Ref,
        header: dict[str, Any],
        files: dict[str, str],
        tag: str,
        fill: Callable[[Path], Any] = lambda folder: None,
    ) -> Ref:
        folder = self.folder / f"{ref.repo}-{tag}"
        folder.mkdir(parents=True)
        text = f'# A card\n\nWhat it is.\n\nrevision="{tag}"\n\n## Training\n\n## Licence\n\n'
        text += f"`{header.get('license')}`. And so on.\n\n- **Conflict:** with a licence it had.\n"
        (folder / "README.md").write_text(f"---\n{yaml.safe_dump(header)}---\n\n{text}")
        for name, content in files.items():
            (folder / name).write_text(content)
        fill(folder)
        return self.hub.publish(ref.kind, ref.repo, folder, message="x", tag=tag)

    def stages(self, scores: list[dict[str, Any]]) -> None:
        """Publish every stage as if it had run."""
        done: dict[str, Ref] = {}
        for s in wanted(self.recipe):
            refs = pin(s, self.recipe, self.session, done)
            identity = s.identity(self.recipe, refs)
            record = RunRecord(
                stage=s.name,
                fingerprint=fingerprint_of(identity),
                recipe="toy",
                identity=identity,
                inputs=refs,
                lineage=lineage(self.hub, refs),
                license="apache-2.0",
            )
            record.packages = {"mteb": "2.0"}
            if s.name == "evaluate":
                failed = {"subject": "embedder", "benchmark": "SciFact", "reason": "ValueError: a | b"}
                record.measures = Measures(scores=scores, failed=[failed])
            fill = self._rows(record) if s.name in ("brainstorm", "seed") else partial(self._scores, scores, s.name)
            if s.name == "embedder":
                record.accepted = 3
            files = {RECORD: record.model_dump_json(), "model.safetensors": "weights"}
            where = Ref(s.kind, s.repo("org"), "")
            done[s.name] = self.publish(where, {"license": "apache-2.0"}, files, tag_of(record.fingerprint), fill)

    def _rows(self, record: RunRecord) -> Callable[[Path], None]:
        """Writes three rows and the ledger of their four requests; another `rng_seed` gives another last row."""
        tasks, seed = record.stage == "brainstorm", self.recipe.rng_seed
        ids = [f"task-sts-{i:07d}" if tasks else f"seed-{i:07d}" for i in range(3)]
        task = {"task_type": "sts", "task": "Find it.", "topic": "a"}
        row = dict.fromkeys(SeedRow.model_fields, "") | task | {"query": "q", "positive": "p", "negative": None}
        rows = [(task if tasks else row | {"revised": False, "positive": f"p{i * (i > 1) * seed}"}) for i in range(3)]
        states = [("accepted", ""), ("repaired", ""), ("accepted", ""), ("rejected", "bad_json")]
        record.rows_in, record.accepted, record.rejected, record.calls = 4, 3, {"bad_json": 1}, {"teacher": 4}
        record.by_task_type = {"sts": 3}

        def fill(folder: Path) -> None:
            entries = [ledger_row(f"seed-{i:07d}", *state) for i, state in enumerate(states)]
            write_parquet(entries, LedgerRow, folder / "ledger")
            given = [row | {"id": row_id} for row_id, row in zip(ids, rows, strict=True)]
            write_parquet(given, TaskRow if tasks else SeedRow, folder / "data" / "sts")

        return fill

    def _scores(self, scores: list[dict[str, Any]], stage: str, folder: Path) -> None:
        """Writes the rows of the evaluation."""
        if stage == "evaluate":
            write_parquet(scores, ScoreRow, folder / "data")
            write_parquet([], ItemScoreRow, folder / "items")

    def release(self, tag: str = "v1.0", **more: Any) -> Any:
        return release(self.recipe, self.session, tag, **more)
