"""The candidates of a prompt → a pair of a best and a worst one, by a judge's verdict or by an embedder's margins.

Judges favour some places over others (arXiv 2306.05685), so each row shows its candidates in an order of its own. The
best one is always an answer that the check accepts.
"""

from collections.abc import Iterator

from hub_speed.generation import examples, prompts
from hub_speed.generation.jobs import Accepted, Outcome
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Parsed, Rejected, parse
from hub_speed.generation.planning import row_rng
from hub_speed.llm.dialects import Completion
from hub_speed.record import Json
from hub_speed.stage import SURPLUS
from hub_speed.task_types import TASK_TYPES, Answer

REVERSED = "-reversed"
"""The end of a row's name in the ledger where the judge saw the candidates in reverse order."""

Rank = tuple[bool, float]
"""Whether a candidate's negative is hard, and its margin: larger is better."""


def pair(row: Json, best: int, worst: int, reason: str, order: list[int]) -> Json:
    """A preference row, from the places of two candidates of a root row."""
    found = {"chosen": row["candidates"][best], "rejected": row["candidates"][worst], "reason": reason, "order": order}
    return {name: row[name] for name in ("id", "task_type", "prompt")} | found


# --- by a judge -------------------------------------------------------------------------------------------------------


def orders_shown(rng_seed: int, row: Json, times: int) -> list[tuple[str, list[int]]]:
    """The candidates of a root row by number, in the orders in which the judge sees them: a drawn one, its reverse.

    Each order comes with the row's name in the ledger.
    """
    order = list(range(len(row["candidates"])))
    row_rng(rng_seed, "preference", row["id"]).shuffle(order)
    return [(row["id"], order), (row["id"] + REVERSED, order[::-1])][:times]


def read_verdict(row: Json, order: list[int], completion: Completion) -> Outcome:
    """The candidates that the teacher calls best and worst, as a preference row; or why there is none."""
    parsed = parse(completion.texts[0], prompts.Verdict, completion.finish_reasons[0])
    if isinstance(parsed, Rejected):
        return parsed
    best, worst = parsed.answer.best, parsed.answer.worst
    if not (0 <= best < len(order) and 0 <= worst < len(order)):
        return Rejected("bad_index", f"best={best}, worst={worst} of {len(order)} candidates")
    if best == worst:
        return Rejected("tie", parsed.answer.reason)
    if unfit := row["reasons"][order[best]]:
        return Rejected("unfit_best", f"candidate {order[best]}: {unfit}")
    if flaw := examples.reason_flaw(parsed.answer.reason, prompts.JUDGE, row["prompt"]):
        return Rejected(*flaw)
    return Accepted(pair(row, order[best], order[worst], parsed.answer.reason, order), parsed.repaired)


def compare_orders(ledger: Ledger) -> None:
    """Reject the verdicts on rows whose two verdicts differ; where they agree, the second one is surplus.

    Where the request in one order has failed, the row has failed: the next run asks in both orders again.
    """
    verdicts: dict[str, list[tuple[str, str, str]]] = {}
    for name, row in ledger.accepted():
        verdicts.setdefault(row["id"], []).append((name, row["chosen"], row["rejected"]))
    failed = ledger.failed()
    alike: list[str] = []
    apart: list[str] = []
    alone: list[str] = []
    for row_id, found in verdicts.items():
        names = [name for name, *_ in found]
        if failed & {row_id, row_id + REVERSED}:
            alone += names
        elif len(found) == 2 and found[0][1:] == found[1][1:]:
            alike.append(row_id + REVERSED)
        elif names != [row_id] or ledger.entry(row_id + REVERSED)["reason"] != SURPLUS:  # else compared before
            apart += names
    ledger.drop(alike, SURPLUS)
    ledger.drop(apart, "orders_differ")
    ledger.fail(alone, "endpoint_error", "the request with the candidates in the other order failed")


# --- by an embedder ---------------------------------------------------------------------------------------------------


def fit_answers(row: Json) -> Iterator[tuple[int, Answer]]:
    """The candidates that the check accepts, each with its place."""
    for i, text in enumerate(row["candidates"]):
        answer = parse(text, TASK_TYPES[row["task_type"]].answer)
        if not row["reasons"][i] and isinstance(answer, Parsed):
            yield i, answer.answer


def choose(row: Json, ranks: dict[int, Rank]) -> Outcome:
    """The candidate with the largest margin over a hard negative and the last one, as a preference row; or why not.

    Last is a candidate that the check rejects, else one whose negative is not hard, else the one with the smallest
    margin.

    Args:
        row: of the root data.
        ranks: place → (whether the negative is hard, margin), of the candidates that the check accepts.
    """
    if not ranks:
        return Rejected("unfit_candidates", ", ".join(row["reasons"]))
    places = range(len(row["candidates"]))
    by_rank = sorted(places, key=lambda i: (i in ranks, *ranks.get(i, (False, 0.0))))
    worst, best = by_rank[0], by_rank[-1]
    hard, margin = ranks[best]
    if not hard or margin <= 0:
        return Rejected("no_margin", f"candidate {best}: margin {margin:.3f}" + ("" if hard else ", negative not hard"))
    if worst == best or ranks.get(worst) == ranks[best]:
        return Rejected("tie", f"margin {margin:.3f}")
    against = f"{ranks[worst][1]:.3f}" if worst in ranks else row["reasons"][worst]
    return Accepted(pair(row, best, worst, f"margin {margin:.3f} against {against}", []))
