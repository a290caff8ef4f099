"""Reads a release again, every file of it, and says what holds.

Files are compared with the Hub's hashes; records with release.json and with what they name; rows and ledgers with the
records and with each other; a benchmark's judgements with its own queries and documents; passages with their documents,
and what rows say of passages with these (`passages.py`). Nothing is executed. One or two repositories at a time are on
the disk ($TMPDIR), and rows are read a part at a time; of a benchmark the ids are in memory.
"""

import hashlib
import heapq
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from hub_speed.errors import HubError, NotFound
from hub_speed.hub import RECORD, Hub
from hub_speed.parquet import count_parquet, read_parquet
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Ref, RunRecord, fingerprint_of
from hub_speed.rows import ACCEPTED, QuestionRow
from hub_speed.versions import changes, manifest, passages
from hub_speed.versions.manifest import Manifest
from hub_speed.versions.release import EVAL_RESULTS

ADDED = {"README.md", EVAL_RESULTS, manifest.FILE, changes.FILE}
"""What a release writes into the embedder's repository; all else is as the run has published it."""

CHECKS = ("tag", "files", "record", "lineage", "rows", "ledger", "benchmark", "passages")


@dataclass(frozen=True)
class Finding:
    """What came of one check.

    Attributes:
        check: one of `CHECKS`.
        holds: None where it could not be looked at.
        says: how much was compared, in a few characters; or what is wrong.
    """

    repo: str
    check: str
    holds: bool | None
    says: str


def verify(hub: Hub, org: str, tag: str) -> Iterator[Finding]:
    """Everything that was checked, one repository after the other.

    Raises:
        NotFound: there is no such release.
        HubError: it has no release.json, or the Hub does not answer. A Hub that does not give one of the files is a
            finding.
    """
    released = hub.pin("model", f"{STAGES['embedder'].repo(org)}@{tag}")
    try:
        holds = manifest.read(hub, released)
    except HubError as error:
        yield from _while_it_answers(hub, released, [Finding(released.repo, "files", False, _said(error))])
        return
    if holds is None:
        fix = "release it again, under another tag"
        raise HubError(f"{released}: {manifest.FILE} is missing", expected="a release of this hub_speed", fix=fix)
    if (holds.embedder, holds.tag) != (released.repo, tag) or released.repo not in holds.repositories:
        raise HubError(f"{released}: {manifest.FILE} is that of another release", got=f"{holds.embedder}@{holds.tag}")
    known: dict[Ref, bool] = {}
    corpus = holds.of_stage("corpus")

    @cache
    def texts() -> passages.Hashes:
        return passages.hashes(hub, corpus) if corpus else {}

    for repo in holds.repositories:
        yield from _while_it_answers(hub, released, _repository(hub, holds, repo, tag, released, known, texts))


def _while_it_answers(hub: Hub, released: Ref, findings: Iterable[Finding]) -> list[Finding]:
    """The same findings, together; after one that does not hold, the Hub is asked whether it still answers.

    Else the client would try again for most of a minute to read what comes next.

    Raises:
        HubError: something does not hold, because the Hub does not answer any more.
    """
    found = []
    for each in findings:
        if each.holds is False:
            hub.pin(released.kind, released.version)
        found.append(each)
    return found


def _said(error: HubError) -> str:
    """What an error says, without advice."""
    return error.where if isinstance(error, NotFound) or not error.got else f"{error.where} ({error.got})"


def _repository(
    hub: Hub,
    holds: Manifest,
    repo: str,
    tag: str,
    released: Ref,
    known: dict[Ref, bool],
    texts: Callable[[], passages.Hashes],
) -> Iterator[Finding]:
    """All checks of one repository. The release has added files to the embedder's: there, the tagged commit is read."""
    made = holds.ref(repo)
    ref = released if repo == released.repo else made
    yield _tag(hub, ref, tag)
    with tempfile.TemporaryDirectory() as temporary:
        try:
            folder = hub.download(ref, Path(temporary))
            yield _files(hub, ref, made, folder)
        except HubError as error:
            yield Finding(repo, "files", False, _unread(hub, ref, Path(temporary)) or _said(error))
            return
        try:
            record = RunRecord.model_validate_json((folder / RECORD).read_text("utf-8"))
        except (OSError, ValidationError) as error:
            yield Finding(repo, "record", False, f"{RECORD} cannot be read: {' '.join(str(error).split()):.200}")
            return
        yield _looked(repo, "record", _record, holds, repo, record, folder / "data")
        yield _lineage(hub, repo, record, known)
        if ref.kind == "dataset":
            yield _looked(repo, "rows", _rows, repo, record, folder / "data")
        row = STAGES[record.stage].row if record.stage in STAGES else None
        if record.stage == "corpus" or (row and issubclass(row, QuestionRow)):
            yield _looked(repo, "passages", _passages, repo, record, folder, texts)
        if (folder / "ledger").is_dir():
            yield _looked(repo, "ledger", _ledger, repo, record, folder)
        for each in (each for name, each in record.inputs.items() if name.startswith("benchmark ")):
            if record.stage == "evaluate":
                yield _looked(each.repo, "benchmark", _benchmark, hub, each, folder / "items")


def _looked(repo: str, check: str, look: Callable[..., Finding], *of: Any) -> Finding:
    """What a check finds; rows that cannot be read, or lack a column, are found as well."""
    try:
        return look(*of)
    except (pa.ArrowException, LookupError, TypeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of this machine, not of the file
            raise
        return Finding(repo, check, False, f"cannot be read: {' '.join(str(error).split()):.200}")


def _finding(repo: str, check: str, problems: list[str], says: str) -> Finding:
    return Finding(repo, check, not problems, "; ".join(problems) or says)


def _tag(hub: Hub, ref: Ref, tag: str) -> Finding:
    """Whether the tag names the version that release.json names."""
    try:
        tagged = hub.pin(ref.kind, f"{ref.repo}@{tag}")
    except HubError as error:
        return Finding(ref.repo, "tag", False, _said(error))
    problems = [] if tagged == ref else [f"it is on {tagged.commit[:7]}, the release has {ref.commit[:7]}"]
    return _finding(ref.repo, "tag", problems, ref.commit[:7])


def _files(hub: Hub, ref: Ref, made: Ref, folder: Path) -> Finding:
    """Whether every file has the hash that the Hub states, and whether an embedder's files are those of the run."""
    stated = hub.hashes(ref)
    damaged = [path for path, digest in stated.items() if _digest(folder / path, digest) != digest]
    problems = [f"{path} has another hash" for path in damaged]
    if ref != made:
        run = hub.hashes(made)
        changed = sorted(path for path in (stated.keys() | run.keys()) - ADDED if stated.get(path) != run.get(path))
        problems += [f"{path} is not the file of {made}" for path in changed]
    return _finding(ref.repo, "files", problems, f"{len(stated):,}")


def _unread(hub: Hub, ref: Ref, folder: Path) -> str:
    """Which files the Hub does not give, and why: asked for one by one, because the first failure ends a download."""
    problems = []
    try:
        for path in hub.hashes(ref):
            try:
                hub.download(ref, folder, path)
            except HubError as error:
                problems.append(f"{path} cannot be read: {error.got or error.where}")
    except HubError as error:
        return _said(error)
    return "; ".join(problems)


def _digest(path: Path, stated: str) -> str:
    """The hash of a file, of the same kind as the one that is stated; empty when there is no such file."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        if len(stated) == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)  # git's name of a file
        while part := file.read(1 << 20):
            digest.update(part)
        return digest.hexdigest()


def _record(holds: Manifest, repo: str, record: RunRecord, data: Path) -> Finding:
    """Whether the record is that of the release, its scores as well, and the fingerprint that of what decided it."""
    member = holds.repositories[repo]
    said = {"stage": member.stage, "fingerprint": member.fingerprint, "licence": member.licence}
    here = {"stage": record.stage, "fingerprint": record.fingerprint, "licence": record.license}
    problems = [f"{name} {here[name]}, in {manifest.FILE} {said[name]}" for name in said if here[name] != said[name]]
    if fingerprint_of(record.identity) != record.fingerprint:
        problems.append("the fingerprint is not that of the identity")
    if record.identity.get("inputs") != {name: ref.version for name, ref in sorted(record.inputs.items())}:
        problems.append("the identity names other inputs")
    if record.stage == "evaluate":
        scores = record.measures.scores
        if holds.scores != [score for score in scores if score["subject"] == "embedder"]:
            problems.append(f"{manifest.FILE} has other scores")
        if list(read_parquet(data)) != scores:
            problems.append("the rows are other scores")
    return _finding(repo, "record", problems, "")


def _lineage(hub: Hub, repo: str, record: RunRecord, known: dict[Ref, bool]) -> Finding:
    """Whether the inputs are on the Hub, at a commit each, and the record knows where they come from."""
    for ref in record.inputs.values():
        if ref not in known:
            try:
                known[ref] = hub.pin(ref.kind, ref.version) == ref
            except HubError:
                known[ref] = False
    problems = [f"{ref} cannot be read from {hub.shown}" for ref in record.inputs.values() if not known[ref]]
    names = {ref.version for ref in record.inputs.values()}
    names |= {name for node in record.lineage.values() for name in node.inputs}
    problems += [f"the record says nothing of {name}" for name in sorted(names - record.lineage.keys())]
    return _finding(repo, "lineage", problems, f"{len(record.inputs)}")


def _rows(repo: str, record: RunRecord, data: Path) -> Finding:
    """Whether there are as many rows as the record says, of each task type where it says so."""
    measures = record.measures
    counted = measures.scores or measures.runs or measures.shares
    said = record.by_task_type or {"": record.accepted if measures.documents else len(counted)}
    kinds = [path.name for path in data.iterdir() if path.is_dir()] if data.is_dir() else []
    found = {name: count_parquet(data / name) for name in {*said, *kinds}}
    problems = [
        f"{found[name]:,} rows{f' of {name}' if name else ''}, in the record {said.get(name, 0):,}"
        for name in sorted(found)
        if found[name] != said.get(name, 0)
    ]
    return _finding(repo, "rows", problems, f"{sum(found.values()):,}")


def _passages(repo: str, record: RunRecord, folder: Path, texts: Callable[[], passages.Hashes]) -> Finding:
    """Whether passages are parts of documents, and what rows say of passages is so."""
    try:
        of_corpus = record.stage == "corpus"
        problems, count = passages.of_corpus(folder) if of_corpus else passages.of_rows(folder, texts())
    except HubError as error:
        return Finding(repo, "passages", False, _said(error))
    return _finding(repo, "passages", problems, f"{count:,}")


def _ledger(repo: str, record: RunRecord, folder: Path) -> Finding:
    """Whether every request is in the ledger once, its counts are the record's, and accepted ones are the rows.

    Both are in the order of their ids, so that one pass over them is enough.
    """
    states: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    problems: list[str] = []

    def accepted() -> Iterator[str]:
        for entry in _once(read_parquet(folder / "ledger", ["id", "state", "reason"]), "the ledger", problems):
            states[entry["state"]] += 1
            if entry["state"] in ACCEPTED:
                yield entry["id"]
            else:
                reasons[entry["reason"]] += 1

    rows = _by_id(folder / "data") if record.by_task_type else iter(())
    asked, ids = accepted(), (row["id"] for row in _once(rows, "the rows", problems))
    if record.by_task_type and record.stage != "brainstorm":  # there, one request makes several rows, of other ids
        odd = next((min(filter(None, pair)) for pair in zip_longest(asked, ids) if pair[0] != pair[1]), "")
        problems += [f"{odd} is accepted and no row, or a row and not accepted"] if odd else []
    for _ in chain(asked, ids):
        pass
    used = sum(states[state] for state in ACCEPTED)
    for name, count, said in (("requests", states.total(), record.rows_in), ("accepted", used, record.accepted)):
        problems += [f"{count:,} {name}, in the record {said:,}"] if count != said else []
    if +reasons != Counter(record.rejected):
        problems.append("other counts of reasons than in the record")
    return _finding(repo, "ledger", problems, f"{states.total():,}")


def _by_id(data: Path) -> Iterator[dict[str, Any]]:
    """The ids of rows, whose files are one folder a task type, one name a split; each in the order of its ids."""
    parts: dict[str, list[Path]] = {}
    for path in sorted(data.glob("*/**/*.parquet")):
        parts.setdefault(str(path).rpartition("-")[0], []).append(path)
    return heapq.merge(*map(_ids, parts.values()), key=lambda row: row["id"])


def _ids(files: list[Path]) -> Iterator[dict[str, Any]]:
    batches = (batch for file in files for batch in pq.ParquetFile(file).iter_batches(columns=["id"]))
    return (row for batch in batches for row in batch.to_pylist())


def _once(rows: Iterator[dict[str, Any]], where: str, problems: list[str]) -> Iterator[dict[str, Any]]:
    """The same rows; the first id that does not come after the one before it is a problem."""
    last, seen = "", False
    for row in rows:
        if row["id"] <= last and not seen:
            problems.append(f"{row['id']} is in {where} twice, or out of order")
            seen = True
        last = row["id"]
        yield row


def _benchmark(hub: Hub, ref: Ref, items: Path) -> Finding:
    """Whether every judgement names a query and a document, every pair is whole, and every scored item is there.

    Only parquet files in folders named for their configs are read; other layouts are not looked at.
    """
    with tempfile.TemporaryDirectory() as temporary:
        try:
            folder = hub.download(ref, Path(temporary))
        except HubError as error:
            return Finding(ref.repo, "benchmark", False, _unread(hub, ref, Path(temporary)) or _said(error))
        scored = [row for row in read_parquet(items, ["benchmark", "measure", "item"]) if row["benchmark"] == ref.repo]
        problems, count = _judgements(folder, {row["item"] for row in scored if row["measure"] == "nDCG@10"})
        for config, measure in (("sts", "Spearman"), ("pair_classification", "")):
            pairs = [[row["sentence1"], row["sentence2"]] for row in read_parquet(folder / config)]
            numbers = {row["item"] for row in scored if pairs and row["measure"] == measure}
            lost = numbers - {str(number) for number in range(len(pairs))}
            problems += [f"{config}: a pair lacks a text"] if any(None in pair for pair in pairs) else []
            problems += [f"{config}: {len(lost):,} scored pairs are not there"] if lost else []
            count += len(pairs)
    if not count:
        return Finding(ref.repo, "benchmark", None, "its files are not parquet in folders named for their configs")
    return _finding(ref.repo, "benchmark", problems, f"{count:,}")


def _judgements(folder: Path, scored: set[str]) -> tuple[list[str], int]:
    """What is wrong with the judgements of a retrieval task, and how many there are; `scored` are ids of queries."""
    judged = [(str(row["query-id"]), str(row["corpus-id"])) for row in read_parquet(folder / "qrels")]
    if not judged:
        return [], 0
    queries = {str(row["_id"]) for row in read_parquet(folder / "queries", ["_id"])}
    documents = {str(row["_id"]) for row in read_parquet(folder / "corpus", ["_id"])}
    lost = {
        "judgements name a query that is not there": sum(query not in queries for query, _ in judged),
        "judgements name a document that is not there": sum(document not in documents for _, document in judged),
        "scored queries are not there": len(scored - queries),
    }
    return [f"{count:,} {what}" for what, count in lost.items() if count], len(judged)
