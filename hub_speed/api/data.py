"""Read and measure the rows of published sets."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_speed.api.hubs import OpenHub
from hub_speed.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    from hub_speed.data_quality.report import Report


def load_rows(
    repo_or_folder: str | Path,
    hub: OpenHub | None = None,
    *,
    revision: str = "main",
    task_type: str | None = None,
    state: str | None = None,
    reason: str | None = None,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of a dataset, by id, read one after the other; or the lines of its ledger.

    Args:
        repo_or_folder: org/name or org/name@revision, a folder of its files, or the work folder of a stage.
        hub: where the repository is; a folder needs none.
        revision: tag, branch or commit of a repository named without one.
        task_type: only rows of this task type.
        state: read the ledger instead, only lines in this state: accepted, repaired, reasked, rejected or failed.
        reason: read the ledger instead, only lines with this reason (`rows.REASONS`).
        limit: at most so many rows.

    Raises:
        HubError: there is no such repository or revision.
        RecipeError: the repository has no rows, or no ledger; or there is no such task type, state or reason.

    Example:
        >>> [row["query"] for row in load_rows("speed-demo/speed-seed", hub, task_type="retrieval", limit=1)]
        ['why do onions make you cry']
    """
    from hub_speed.rows import REASONS, STATES
    from hub_speed.task_types import TASK_TYPES

    wanted: dict[str, str] = {}
    for name, value, known in (
        ("task_type", task_type, list(TASK_TYPES)),
        ("state", state, list(STATES)),
        ("reason", reason, list(REASONS)),
    ):
        if value is None:
            continue
        wanted[name] = value
        if value not in known:
            raise RecipeError(
                f"rows: {name} {value}", expected=f"one of {', '.join(known)}", fix=did_you_mean(value, known)
            )
    if limit is not None and limit < 0:
        raise RecipeError(f"rows: limit {limit}", expected="0 or more")
    rows = _read_rows(repo_or_folder, hub, revision, ledger=bool(state or reason))
    return islice((row for row in rows if all(row.get(name) == wanted[name] for name in wanted)), limit)


def _read_rows(place: str | Path, hub: OpenHub | None, revision: str, *, ledger: bool) -> Iterator[dict[str, Any]]:
    """All rows (of all task types, by id) or the ledger of a repository, or the ledger of a work folder."""
    import heapq

    from hub_speed.generation.ledger import Ledger
    from hub_speed.parquet import read_parquet

    if (Path(place) / "ledger.sqlite").exists():
        with Ledger(Path(place)) as opened:
            yield from opened.entries()
        return
    part = _folder_of(place, hub, revision) / ("ledger" if ledger else "data")
    if not part.is_dir():
        raise _without(place, part)
    kinds = [path for path in sorted(part.iterdir()) if path.is_dir()]  # one of each task type, itself by id
    yield from heapq.merge(*map(read_parquet, kinds), key=lambda row: row["id"]) if kinds else read_parquet(part)


def _without(place: str | Path, part: Path) -> RecipeError:
    """Why a set has no rows, or no ledger, and where a corpus says instead what it left out."""
    where = f"{place}: there is no {part.name}"
    there = sorted({path.relative_to(part.parent).parts[0] for path in part.parent.glob("*/**/*.parquet")})
    if "data" not in there:
        return RecipeError(where, expected="a repository that hub-speed has published")
    fix = "leave out --state and --reason"
    if "skipped" in there:
        fix = f'what could not be used, and why: load_dataset("{place}", "skipped") in Python'
    elif "documents" in there:
        fix = "no document was skipped: all could be used"
    return RecipeError(where, expected="a set that was asked for row by row", got=", ".join(there), fix=fix)


def _folder_of(place: str | Path, hub: OpenHub | None, revision: str) -> Path:
    """The files of a dataset: a folder, `org/name@revision`, or `org/name` at the revision given beside it."""
    if Path(place).is_dir():
        return Path(place)
    if hub is None:
        raise RecipeError(f"{place}: no such folder", fix="if it is a repository, say on which Hub: open_hub(…)")
    name = str(place)
    return hub.hub.fetch(hub.hub.pin("dataset", name if "@" in name else f"{name}@{revision}"))


def quality(
    sets: Sequence[str | Path], hub: OpenHub | None = None, *, revision: str = "main", model: str | None = None
) -> "list[Report]":
    """Measure sets of rows: variety, hardness, mistakes.

    Args:
        sets: dataset repositories (org/name or org/name@revision) or folders, with query and positive (and negative).
        hub: where the repositories are; folders need none.
        revision: tag, branch or commit of repositories named without one.
        model: compare texts with this SentenceTransformer (name or folder), not by their words.

    Returns:
        One report a set, in order; `report.numbers()` are its measures.

    Raises:
        HubError: there is no such repository or revision.
        RecipeError: a set has no rows, or lacks a column, or the model cannot be loaded.

    Example:
        >>> quality(["speed-demo/speed-seed"], hub)[0].rows
        200
    """
    from hub_speed.data_quality.report import measure

    folders = [_folder_of(name, hub, revision) for name in sets]
    embed = None
    if model:
        from hub_speed.data_quality.encoder import encoder

        embed = encoder(model)
    return measure(folders, embed, model or "")
