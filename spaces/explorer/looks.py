"""How things look: HTML for the page. Every text that comes from outside is escaped here, and nowhere else."""

import difflib
import inspect
import re
from collections import Counter
from collections.abc import Iterable
from html import escape
from typing import Any

from hub_speed import examples
from hub_speed.errors import HubSpeedError
from hub_speed.hub import Ref
from hub_speed.llm.dialects import Completion
from hub_speed.mixture import PlannedRow
from hub_speed.parse import Rejected
from hub_speed.rows import REASONS
from hub_speed.task_types import TASK_TYPES
from hub_speed.topics import spoken

Row = dict[str, Any]

NAMES = {"sts": "similarity (STS)"}
PARTS = ("query", "positive", "negative")
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")


def name_of(task_type: str) -> str:
    """A task type as people read it."""
    return NAMES.get(task_type, task_type.replace("_", " "))


def about(task_type: str) -> str:
    """What a row of a task type consists of, from the docstring of its file."""
    module = inspect.getmodule(TASK_TYPES[task_type].answer)
    first = ((module and module.__doc__) or "").split("\n", 1)[0]
    return first.partition(": ")[2] or TASK_TYPES[task_type].paper_name


# --- the head of the page -------------------------------------------------------------------------------------------


def head(org: str, hub: str, refs: Iterable[tuple[Ref | None, str, str | None]], *, quickstart: bool) -> str:
    """Which repositories are shown; `refs` are (version or None, noun, address or None)."""
    chips = []
    for ref, noun, address in refs:
        if ref is None:
            chips.append(f'<span class="sx-repo sx-missing">{escape(noun)} <i>not there</i></span>')
            continue
        text = f"{escape(noun)} <code>{ref.commit[:7]}</code>"
        link = f'href="{escape(address)}" target="_blank" rel="noopener"' if address else ""
        chips.append(f'<a class="sx-repo" title="{escape(ref.repo)}" {link}>{text}</a>')
    note = (
        '<p class="sx-note"><b>Offline quickstart.</b> These are tiny models, trained within minutes on a small scripted'
        " world of animals, tools, foods and the like. They show how the parts work together, not how good the method"
        " is.</p>"
        if quickstart
        else ""
    )
    return (
        f'<p class="sx-repos"><span class="sx-org">{escape(org)}</span> on {escape(hub)}'
        f'<span class="sx-chips">{"".join(chips)}</span></p>{note}'
    )


def problem(error: HubSpeedError) -> str:
    """Something a visitor can act on."""
    lines = "".join(
        f"<dt>{name}</dt><dd>{escape(text)}</dd>"
        for name, text in (("expected", error.expected), ("got", error.got), ("what to do", error.fix))
        if text
    )
    return f'<div class="sx-card sx-problem" role="alert"><b>{escape(error.where)}</b><dl>{lines}</dl></div>'


def unexpected(error: Exception) -> str:
    """Something that should not have happened; the log has the rest."""
    return (
        '<div class="sx-card sx-problem" role="alert"><b>Something went wrong that should not have'
        f" ({escape(type(error).__name__)}).</b> Try again; the log of this page says more.</div>"
    )


def empty(text: str) -> str:
    """A place where something will be."""
    return f'<div class="sx-card sx-empty">{escape(text)}</div>'


def busy(text: str, written: str = "") -> str:
    """Something that is being done, with what is there of it already."""
    so_far = f'<pre class="sx-raw">{escape(written)}<span class="sx-caret"></span></pre>' if written else ""
    return f'<div class="sx-card sx-busy" role="status"><p class="sx-working">{escape(text)}</p>{so_far}</div>'


# --- topic → task → draft → revised ---------------------------------------------------------------------------------


def task(row: PlannedRow, count: int) -> str:
    """The drawn task, and the prompt it became."""
    knobs = row.knobs | {"language": row.language} | ({"into": row.target_language} if row.target_language else {})
    values = "".join(
        f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{escape(value)}</td></tr>" for name, value in knobs.items()
    )
    one_of = "the only task of this kind" if count == 1 else f"one of {count:,} tasks of this kind"
    return (
        f'<div class="sx-card"><p class="sx-topic">{escape(spoken(row.topic))}</p>'
        f'<p class="sx-task">{escape(row.task)}</p>'
        f'<p class="sx-small">{one_of}. A row is {escape(about(row.task_type))}</p>'
        f'<details><summary>The drawn prompt</summary><table class="sx-knobs">{values}</table>'
        f"<pre>{escape(row.prompt)}</pre></details></div>"
    )


def draft(row: PlannedRow, outcome: Any, completion: Completion) -> str:
    """The generator's answer, with the verdict of the check."""
    text = completion.texts[0]
    if isinstance(outcome, Rejected):
        body, raw = verdict(outcome), _raw("What it wrote", text, unfolded=True)
    else:
        fields = "".join(_part(row.task_type, name, escape(outcome.row[name] or "")) for name in PARTS)
        body, raw = verdict(None, repaired=outcome.repaired) + fields, _raw("As it was written", text)
    return f'<div class="sx-card">{body}{raw}{_cost(completion)}</div>'


def revised(before: Row, after: Row, outcome: Any, completion: Completion) -> str:
    """The revisor's answer, with the verdict of the check and what it changed."""
    text = completion.texts[0]
    if isinstance(outcome, Rejected):
        kept = '<p class="sx-say">The draft is kept as it is.</p>'
        body, raw = verdict(outcome) + kept, _raw("What it wrote", text, unfolded=True)
    else:
        # A revision that is the same again is no change of the data.
        change = "It changed this" if after["revised"] else "It left the draft as it is"
        body = (
            verdict(None, repaired=outcome.repaired)
            + f'<p class="sx-say"><q>{escape(outcome.reason)}</q> <span class="sx-small">{change}.</span></p>'
            + parts_with_changes(before, after)
        )
        raw = _raw("As it was written", text)
    return f'<div class="sx-card">{body}{raw}{_cost(completion)}</div>'


def verdict(rejected: Rejected | None, *, repaired: bool = False) -> str:
    """What the check says, in words."""
    if rejected is None:
        note = " <small>after its JSON was repaired</small>" if repaired else ""
        return f'<p class="sx-verdict sx-yes">accepted{note}</p>'
    why = REASONS.get(rejected.reason, rejected.reason)
    seen = f' <span class="sx-small">({escape(rejected.detail[:120])})</span>' if rejected.detail else ""
    return f'<p class="sx-verdict sx-no">rejected</p><p class="sx-why">{escape(why)}{seen}</p>'


def parts_with_changes(before: Row, after: Row) -> str:
    """Query, positive and negative with what went and what came."""
    return "".join(
        _part(after["task_type"], name, changes(before.get(name) or "", after.get(name) or "")) for name in PARTS
    )


def changes(before: str, after: str) -> str:
    """Two texts as one, word by word: what went is struck through, what came is marked."""
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    out = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, came = escape("".join(old[a:b])), escape("".join(new[c:d]))
        if kind == "equal":
            out.append(came)
            continue
        out.append((f"<del>{gone}</del>" if gone else "") + (f"<ins>{came}</ins>" if came else ""))
    return "".join(out)


def _part(task_type: str, name: str, html: str) -> str:
    """One text of a row, under its column name; nothing where the task type has none."""
    key = getattr(TASK_TYPES[task_type], name) if task_type in TASK_TYPES else name
    if not html or not key:
        return ""
    return f'<div class="sx-part sx-{name}"><h4>{name}</h4><p dir="auto">{html}</p></div>'


def _raw(title: str, text: str, *, unfolded: bool = False) -> str:
    shown = escape(text) if text.strip() else "<i>nothing</i>"
    state = " open" if unfolded else ""
    return f'<details{state}><summary>{title}</summary><pre class="sx-raw">{shown}</pre></details>'


def _cost(completion: Completion) -> str:
    return f'<p class="sx-small">{completion.completion_tokens:,} tokens in {completion.latency_s:.1f} s</p>'


# --- search ---------------------------------------------------------------------------------------------------------


def ranking(query: str, found: list[tuple[float, str]], model: str, seconds: float) -> str:
    """Texts with their scores, best first."""
    items = "".join(
        f'<li><span class="sx-score">{score:.3f}</span><span class="sx-bar"><i style="width:{_percent(score)}%"></i></span>'
        f'<p dir="auto">{escape(text)}</p></li>'
        for score, text in found
    )
    return (
        f'<div class="sx-card sx-ranking"><p class="sx-small"><b>{escape(query)}</b> against {len(found):,} texts, by'
        f" {escape(model)} in {seconds:.1f} s; the score is the cosine of the embeddings.</p><ol>{items}</ol></div>"
    )


def _percent(score: float) -> int:
    return round(100 * min(1.0, max(0.0, score)))


# --- rows -----------------------------------------------------------------------------------------------------------


def count(total: int, number: int, pages: int, reasons: Counter[str], limit: str) -> str:
    """How many rows there are, and why they were rejected."""
    where = f" · page {number:,} of {pages:,}" if pages > 1 else ""
    chips = "".join(
        f'<span class="sx-repo" title="{escape(REASONS.get(name, ""))}">{escape(name)} <code>{n:,}</code></span>'
        for name, n in reasons.most_common()
    )
    return f'<p class="sx-repos">{total:,} rows{where} <span class="sx-small">{escape(limit)}</span>{chips}</p>'


def row(found: Row) -> str:
    """One published row."""
    before = _draft_parts(found)
    changed = bool(found["revised"]) and before is not None
    badge = (
        '<span class="sx-tag sx-new">revised</span>' if found["revised"] else '<span class="sx-tag">as drafted</span>'
    )
    parts = "".join(_part(found["task_type"], name, escape(found[name] or "")) for name in PARTS)
    diff = (
        f"<details><summary>What the revisor changed</summary>{parts_with_changes(before or {}, found)}</details>"
        if changed
        else ""
    )
    return (
        f'<div class="sx-card sx-row">{_title(found, badge)}<p class="sx-task">{escape(found["instruction"])}</p>'
        f'<div class="sx-parts">{parts}</div>{diff}</div>'
    )


def _draft_parts(found: Row) -> Row | None:
    """The draft of a row as its columns, None when it cannot be read."""
    kind = TASK_TYPES.get(found["task_type"])
    if kind is None:
        return None
    try:
        return kind.columns(kind.answer.model_validate_json(found["draft"]))
    except ValueError:
        return None


def rejected_row(line: Row) -> str:
    """One ledger line: why, and the text as it came."""
    reason = Rejected(line["reason"], line["detail"])
    badge = f'<span class="sx-tag">{"after revision" if line["step"] == "revised" else "as draft"}</span>'
    raw = "".join(f'<pre class="sx-raw">{escape(text)}</pre>' for text in line["completions"])
    return f'<div class="sx-card sx-row">{_title(line, badge)}{verdict(reason)}{raw}</div>'


def _title(found: Row, badge: str) -> str:
    topic = f'<span class="sx-topic">{escape(spoken(found["topic"]))}</span>' if found.get("topic") else ""
    return (
        f'<div class="sx-title"><span class="sx-tag sx-type">{escape(name_of(found["task_type"]))}</span>{badge}{topic}'
        f'<code class="sx-id">{escape(found["id"])}</code></div>'
    )


def compact_changes(row_: Row) -> str:
    """Whether a kept row was revised, in two words."""
    return "revised" if examples.compact(row_) and row_["revised"] else "as drafted"


CSS = ""
