"""More rows later (`--extend`): a new version goes on from the ledger of a smaller one.

Rows are stable: row *i* of a stage has the same id and prompt, however many there are. So where a version on the Hub
differs in `rows` alone, its answers are this stage's as well, and only those beyond are asked for. Rows that were
dropped because of others (duplicates, surplus, stock phrases) are looked at again together with the new ones. What is
published is what one run with all rows would have published, if the models had answered the same.
"""

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from hub_speed.errors import HubError, RecipeError
from hub_speed.generation.ledger import Ledger
from hub_speed.parquet import read_parquet
from hub_speed.pipeline.plan import Step, flat, pin
from hub_speed.pipeline.session import Session
from hub_speed.pipeline.table import asks
from hub_speed.recipe import Recipe
from hub_speed.record import Ref
from hub_speed.rows import LedgerRow
from hub_speed.shared import Share
from hub_speed.stage import Stage

GROWING = ("seed", "root", "preference", "revision", "synthesize", "revise")
"""Stages whose rows for a smaller set are the first ones for a larger set."""
OTHERWISE = (("revision", "preference"),)
"""Stages with an input whose further rows change what is asked: a root row that is judged now is revised otherwise."""
LEDGER = "ledger.sqlite"
EXTENDS = "extends"
"""The file in a work folder that names the version whose rows are in its ledger."""
AT_ONCE = 2_000


def check(steps: list[Step], recipe: Recipe, session: Session) -> None:
    """Before anything is asked: whether the first stage that would ask for rows can go on from an earlier version.

    The sample of `audit` is as large as before, so it is asked for anew.

    Raises:
        RecipeError: it cannot; says what differs from the newest version.
    """
    left = [step for step in steps if not step.ref]
    first = next((step for step in left if step.stage.name != "audit" and asks(step.stage, recipe)), None)
    if first is None:
        return
    s, done = first.stage, {step.stage.name: step.ref for step in steps if step.ref}
    if first is left[0]:
        refs = pin(s, recipe, session, done)
        if earlier(s, s.identity(recipe, refs), refs, session):
            return
    missing = f"has no version on {session.hub.shown} that this recipe only adds rows to"
    expected = f"one of {s.repo(session.org)} that has fewer rows, and is the same in everything else"
    if s.name not in GROWING:
        missing, expected = "would ask for all its rows", f"a recipe that only adds rows to {', '.join(GROWING)}"
    raise RecipeError(
        f"--extend: {s.name} {missing}",
        expected=expected,
        got=f"{left[0].stage.name}: {left[0].why}",
        fix="run without --extend to ask for every row, or change the recipe back to that of the smaller version",
    )


def earlier(s: Stage, identity: dict[str, Any], refs: dict[str, Ref], session: Session) -> Ref | None:
    """The version that this one adds rows to: it differs in `rows`, or in inputs that did so.

    Of several, the one that spares most rows; of two with as many, the newer one.
    """
    if s.name not in GROWING:
        return None
    found: list[tuple[int, Ref]] = []
    for version in reversed(session.hub.versions(s.kind, s.repo(session.org))):
        try:
            record = session.hub.record(version.ref)
        except HubError:  # of another version of this program
            continue
        if record and _adds_rows(s, flat(record.identity), flat(identity), refs, session):
            found.append((record.accepted, version.ref))
    return max(found, key=lambda each: each[0])[1] if found else None


def _adds_rows(s: Stage, before: dict[str, Any], after: dict[str, Any], refs: dict[str, Ref], session: Session) -> bool:
    differ = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    for key in differ:
        was, name = before.get(key), key.removeprefix("inputs.")
        if key == f"recipe.{s.name}.rows":
            more = isinstance(was, int) and isinstance(after.get(key), int) and was < after[key]
        else:
            other = name not in refs or (s.name, name) in OTHERWISE
            more = not other and any(was == each for each in _smaller(refs[name], session))
        if not more:
            return False
    return bool(differ)


def _smaller(ref: Ref, session: Session) -> Iterator[str]:
    """The versions that a version has grown from, the largest first."""
    while (record := session.hub.record(ref)) and record.extends:
        yield record.extends
        repo, _, commit = record.extends.partition("@")
        ref = Ref("dataset", repo, commit)


def take_over(old: Ref, identity: dict[str, Any], session: Session, work: Path, share: Share | None = None) -> None:
    """Fill the ledger of a new work folder with that of a published version; whole, or not at all.

    A rank takes over its rows, which it does not send: the publisher takes over all of them itself.
    """
    if (work / LEDGER).exists():
        return
    folder, part = session.hub.fetch(old, "data/*", "ledger/*"), work / "extending"
    shutil.rmtree(part, ignore_errors=True)
    with Ledger(part, identity) as ledger:
        mine = (entry for entry in read_parquet(folder / "ledger") if not share or share.is_mine(entry["id"]))
        entries = map(_as_asked, mine)
        while some := list(islice(entries, AT_ONCE)):
            ledger.add(some)
        ledger.restore((row["id"], row) for row in read_parquet(folder / "data"))
        if share:
            ledger.count_as_shipped()
    (work / EXTENDS).write_text(old.version, "utf-8")
    (part / LEDGER).rename(work / LEDGER)
    shutil.rmtree(part)


def extends(work: Path) -> str:
    """The version whose rows a work folder began with; empty where there is none."""
    try:
        return (work / EXTENDS).read_text("utf-8")
    except FileNotFoundError:
        return ""


def _as_asked(entry: dict[str, Any]) -> tuple[LedgerRow, dict[str, Any] | None]:
    """A line of a published ledger as it was before the rows that were fit to use were looked at together."""
    if not entry["dropped_row"]:
        return LedgerRow.model_construct(**entry), None
    row = json.loads(entry["dropped_row"])
    before = {"state": "accepted", "reason": "", "duplicate_of": "", "similarity": None, "dropped_row": ""}
    return LedgerRow.model_construct(**entry | before), row
