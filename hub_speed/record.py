"""How one version was made, and the index it is found by."""

import hashlib
import json
import platform
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

import hub_speed

Json = dict[str, Any]
"""A JSON object of no fixed shape."""


Kind = Literal["model", "dataset", "space"]


TEACHER = "teacher"
"""The teacher among the models that are asked; several teachers are "teacher/NAME"."""


def of_teacher(counts: dict[str, int]) -> int:
    """What the counts of the models hold for the teacher, or for all teachers together."""
    return sum(count for model, count in counts.items() if model.partition("/")[0] == TEACHER)


@dataclass(frozen=True)
class Ref:
    """One version of one repository; `commit` has 40 hex digits."""

    kind: Kind
    repo: str
    commit: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit[:7]}"

    @property
    def version(self) -> str:
        """The version's full name, `org/name@commit`."""
        return f"{self.repo}@{self.commit}"


class Ancestor(BaseModel):
    """What a record keeps of one version that it comes from.

    Attributes:
        stage: the stage that made it; empty for what no stage made.
        inputs: the versions it was made from.
        licences: the licences its card names; only of what no stage of the run made.
        quality: the measures of its rows, where they were taken (`data_quality.report`).
        contamination: what its rows were checked against (`training.test_texts`).
    """

    stage: str = ""
    inputs: list[str] = []
    accepted: int = 0
    calls: dict[str, int] = {}
    prompt_tokens: dict[str, int] = {}
    completion_tokens: dict[str, int] = {}
    seconds: float = 0.0
    licences: list[str] = []
    quality: Json | None = None
    contamination: Json | None = None


class Training(BaseModel):
    """What a training reports. A model's card lists the numbers and texts by their names here.

    Attributes:
        steps: optimizer steps.
        loss_curve: (step, loss), in order.
        rows_dropped_too_long, rows_cut_off, tokens, trained, trained_weights, devices, device_seconds: of a generator.
        rewards: DPO's, at the end of training, by name.
        reward_curves: DPO's accuracies and margins, (step, value), in order.
        dimension, pooling, modules, max_length, truncated_share: of an embedder; `max_length` in tokens.
        mix: rows by task type or labelled set.
        mined_negatives: rows whose hard negative was mined.
        merged: what the published embedder lies between.
        exports: the same embedder in other forms: `form`, `folder`, `measure` and `value`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int
    loss_curve: list[tuple[int, float]]
    rows_dropped_too_long: int | None = None
    rows_cut_off: int | None = None
    tokens: int | None = None
    trained: str | None = None
    trained_weights: int | None = None
    devices: str | None = None
    device_seconds: float | None = None
    rewards: dict[str, float] = {}
    reward_curves: dict[str, list[tuple[int, float]]] = {}
    dimension: int | None = None
    pooling: str | None = None
    modules: str | None = None
    max_length: int | None = None
    truncated_share: float | None = None
    mix: dict[str, int] = {}
    mined_negatives: int | None = None
    merged: list[str] = []
    exports: list[Json] = []


class Documents(BaseModel):
    """What a corpus holds.

    Attributes:
        documents, passages, groups, words: counts; the words are those of the passages.
        splits: train, dev and test → counts by the same names.
        lengths: words of a passage: the shortest, the median and the longest twentieth, by name.
        skipped: documents that gave no passage, by reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: int
    passages: int
    groups: int
    words: int
    splits: dict[str, dict[str, int]]
    lengths: dict[str, int]
    skipped: dict[str, int]


class Measures(BaseModel):
    """What else a stage has measured; each stage sets its own.

    Attributes:
        repaired, reasked: answers that were accepted after a repair, or after the model was asked again.
        unchecked: answers that are used though a check of their content says something (`checks: form`), by reason.
        server: what the model's server does otherwise than it was asked.
        quality: the measures of the rows (`data_quality.report`).
        contamination: test texts in the rows: `checked`, set → texts; `unchecked`, set → why; `found`, set → kind →
            rows; `dropped`, how many; `rows`, ids of some (`training.test_texts`).
        near_duplicates: drafts that were left out of a training.
        relabelled: mined texts that became positives (`moved`), were dropped, or stayed (`negatives`), and rows without
            any (`without_negatives`).
        training: of a stage that trains a model.
        documents: of a corpus.
        scores: `rows.ScoreRow`s.
        subsets: the parts of the embedder's scores on tasks of mteb: dataset, measure, task_id and value.
        scored_on: the day of the scores, as in 2026-01-31; empty in records of earlier versions.
        runs: `rows.ScalingRow`s.
        fits: measure → the result of `scaling_law.compare`.
        sentences: what the fits show.
        skipped_sizes: of the scaling law, for lack of rows.
        shares: `rows.AuditRow`s.
        questions: `rows.QuestionScoreRow`s.
        margins: of mined negatives, for every margin that was tried: `margin`, the `share` of rows with a negative, and
            mean `negatives` of a row.
        failed: what could not be scored: `subject`, `measure`, `benchmark` and `reason`.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    repaired: int = 0
    reasked: int = 0
    unchecked: dict[str, int] = {}
    server: list[str] = []
    quality: Json | None = None
    contamination: Json | None = None
    near_duplicates: int | None = None
    relabelled: dict[str, int] = {}
    training: Training | None = None
    documents: Documents | None = None
    scores: list[Json] = []
    subsets: list[Json] = []
    scored_on: str = ""
    runs: list[Json] = []
    fits: dict[str, Json] = {}
    sentences: list[str] = []
    skipped_sizes: list[int] = []
    shares: list[Json] = []
    questions: list[Json] = []
    margins: list[Json] = []
    failed: list[Json] = []


class Ranks(BaseModel):
    """How several processes have shared the rows of a stage: how many, in how many waves, with how many seconds each.

    `seconds` is the sum of all ranks.
    """

    world: int
    waves: int
    seconds: float


class RunRecord(BaseModel):
    """How one version was made: `speed_run.json`. Every number of a card comes from here.

    Attributes:
        identity: what the fingerprint is the hash of.
        lineage: repository@commit → this version's ancestors.
        rows_in, accepted, rejected: counts, the last by reason.
        calls, prompt_tokens, completion_tokens: by the model that was asked: "teacher", or "teacher/NAME" for one of
            several; "junior", …
        notes: what went otherwise than planned, a sentence each.
        ranks: where several processes have shared the rows.
        extends: the version whose rows this one began with (`--extend`); empty where there is none.
    """

    stage: str
    fingerprint: str
    recipe: str
    identity: Json
    inputs: dict[str, Ref]
    lineage: dict[str, Ancestor]
    rows_in: int = 0
    accepted: int = 0
    rejected: dict[str, int] = {}
    by_task_type: dict[str, int] = {}
    calls: dict[str, int] = {}
    prompt_tokens: dict[str, int] = {}
    completion_tokens: dict[str, int] = {}
    measures: Measures = Measures()
    notes: list[str] = []
    ranks: Ranks | None = None
    seconds: float = 0.0
    license: str = "other"
    packages: dict[str, str] = {}
    extends: str = ""

    def teacher(self, field: Literal["calls", "prompt_tokens", "completion_tokens"], stage: str = "") -> int:
        """What this version and all its ancestors took of the teacher; with a stage, what this stage took."""
        nodes: list[RunRecord | Ancestor] = [self, *self.lineage.values()]
        return sum(of_teacher(getattr(node, field)) for node in nodes if stage in ("", node.stage))

    def as_ancestor(self) -> Ancestor:
        """What the records of later versions keep of this one."""
        kept = {name: getattr(self, name) for name in Ancestor.model_fields if name in type(self).model_fields}
        inputs = [ref.version for ref in self.inputs.values()]
        measured = {"quality": self.measures.quality, "contamination": self.measures.contamination}
        return Ancestor(**kept | {"inputs": inputs} | measured)


def digest_of(value: Any) -> str:
    """sha256 of a value that JSON can hold; 64 hex digits. The order of keys counts: draws depend on it."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def fingerprint_of(identity: Json) -> str:
    """The index of an identity: 12 hex digits, 48 bits."""
    return digest_of(identity)[:12]


def tag_of(fingerprint: str) -> str:
    """The tag a finished stage is found by."""
    return f"run-{fingerprint}"


def packages() -> dict[str, str]:
    """The versions that made a result."""
    names = ("torch", "transformers", "trl", "peft", "sentence-transformers", "mteb", "datasets", "huggingface_hub")
    found = {"python": platform.python_version(), "hub_speed": hub_speed.__version__}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
