"""The report of a study: its effects, its table, its page with figures, and its version on the Hub.

The page is the card of `<org>/speed-study` and, with `--out docs`, docs/study.md: one template, from one record.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hub_speed.cards import render
from hub_speed.cards.metadata import size_category
from hub_speed.evaluation.scaling_law import LEAST_GAIN, by_measure, shared
from hub_speed.evaluation.scaling_sentences import describe
from hub_speed.hub import RECORD
from hub_speed.parquet import write_parquet
from hub_speed.pipeline.run import Result
from hub_speed.pipeline.session import Session
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Ref, fingerprint_of, tag_of
from hub_speed.rows import EffectRow, StudyRow, columns
from hub_speed.study.effects import Effect, effect, mean_interval, sentence, summary
from hub_speed.study.runs import Outcome, Study

VERSION = 4  # raised when the same runs give another page

Facts = dict[str, Any]


def effects(outcomes: Sequence[Outcome], study: Study, margin: float) -> list[Effect]:
    """The effect of every value on every measure; scores on several benchmarks of a measure are averaged."""
    by_value: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        by_value.setdefault((outcome.run.factor, outcome.run.value), []).append(outcome)
    reference = by_value.pop(("", ""))
    benchmarks: dict[str, list[str]] = {}
    for measure, benchmark in reference[0].scores:
        if all((measure, benchmark) in outcome.scores for outcome in outcomes):
            benchmarks.setdefault(measure, []).append(benchmark)
    return [
        effect(
            (factor, value, study.references[factor], measure, ", ".join(names)),
            [[outcome.scores[measure, name] for name in names] for outcome in mine],
            [[outcome.scores[measure, name] for name in names] for outcome in reference],
            margin=margin,
            comparisons=len(by_value) * len(benchmarks),
        )
        for (factor, value), mine in by_value.items()
        for measure, names in benchmarks.items()
    ]


def left_out(outcomes: Sequence[Outcome]) -> list[str]:
    """One sentence on each benchmark that is in no effect and no table, because a run could not be scored on it."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for outcome in outcomes:
        for row in outcome.failed:
            found.setdefault((row["benchmark"], row["measure"]), []).append((outcome.run.name, row["reason"]))
    return [
        f"left out: {benchmark} ({measure}), failed in {_some([name for name, _ in runs])}: {runs[0][1]}"
        for (benchmark, measure), runs in found.items()
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def record(study: Study, outcomes: Sequence[Outcome], margin: float, law: Result | None = None) -> Facts:
    """How a study was made and its results: `speed_run.json` of its repository, and the raw numbers of its page.

    Args:
        study: what was compared.
        outcomes: the results of its runs.
        margin: smaller differences do not matter.
        law: the result of the scaling stage, if it was run as well.
    """
    runs = [
        {
            "factor": o.run.factor,
            "value": o.run.value,
            "seed": o.run.seed,
            "rows": o.rows,
            "results": f"{o.results.repo}@{o.results.commit}",
            "scores": [{"measure": m, "benchmark": b, "score": s.score} for (m, b), s in o.scores.items()],
        }
        for o in outcomes
    ]
    fields = study.recipe.model_dump(mode="json", exclude={"runtime", "budget"})
    return {
        "stage": "study",
        "version": VERSION,
        "recipe": study.recipe.name,
        "command": f"{study.command} --margin {margin:g}{' --scaling' if law else ''}",
        "fields": fields,
        "references": study.references,
        "seeds": study.seeds,
        "seed_all": study.seed_all,
        "margin": margin,
        "rows_generated": study.rows_generated,
        "runs": runs,
        "left_out": left_out(outcomes),
        "effects": [asdict(e) for e in effects(outcomes, study, margin)],
        "scaling": law and _law(law),
    }


def _law(law: Result) -> Facts:
    runs = law.record.measures.runs
    fits = by_measure(runs, LEAST_GAIN)
    sentences = [text for measure, fit in fits.items() for text in describe(measure, fit)]
    for row in law.record.measures.failed:
        sentences.append(
            f"Left out: {row['benchmark']} ({row['measure']}), failed for {row['subject']}: {row['reason']}"
        )
    return {"version": str(law.ref), "runs": runs, "fits": fits, "sentences": sentences}


def rows(facts: Facts) -> Iterable[dict[str, Any]]:
    """The long table: one row a score; the reference's scores are rows of every factor."""
    for factor, reference in facts["references"].items():
        for run in facts["runs"]:
            if run["factor"] in ("", factor):
                for score in run["scores"]:
                    value = run["value"] if run["factor"] else reference
                    yield {"factor": factor, "value": value, "seed": run["seed"]} | score


def _write_page(facts: Facts, path: Path, folder: str, header: str = "", *, repo: str = "", tag: str = "") -> None:
    """Write the page, and one figure per factor into `folder` beside it. A card has a header."""
    from hub_speed.cards import figures  # matplotlib takes half a second to import

    found = [Effect(**e) for e in facts["effects"]]
    shutil.rmtree(path.parent / folder, ignore_errors=True)
    sections, notes = [], list[str]()
    for factor, reference in facts["references"].items():
        mine = [e for e in found if e.factor == factor]
        if not mine:
            continue
        slug = f"{factor.replace('.', '-')}.png"
        with render.optional(f"the figure of {factor}", notes):
            figures.effects([asdict(e) for e in mine], facts["margin"], path.parent / folder / slug)
        sections.append(
            {
                "factor": factor,
                "figure": f"{folder}/{slug}" if (path.parent / folder / slug).exists() else "",
                "table": _table(facts, factor, reference),
                "summary": summary(mine),
                "sentences": [sentence(e, facts["margin"]) for e in mine],
                "caveats": _caveats(facts, factor),
            }
        )
    counted = {name: sum(e.verdict == name for e in found) for name in ("supported", "indistinguishable", "unclear")}
    if facts["scaling"]:
        law = facts["scaling"]
        with render.optional("the figure of the scaling law", notes):
            figures.scaling(shared(law["runs"]), law["fits"], path.parent / folder / "scaling.png")
    template = {
        "facts": facts,
        "sections": sections,
        "measures": list(dict.fromkeys(e.measure for e in found)),
        "with_items": list(dict.fromkeys(e.measure for e in found if e.items)),
        "comparisons": len(found),
        "counted": counted,
        "holding": sum(e.holds for e in found),
        "scaling": f"{folder}/scaling.png" if (path.parent / folder / "scaling.png").exists() else "",
        "notes": notes,
        "columns": columns(StudyRow),
        "effect_columns": columns(EffectRow),
        "card": bool(header),
        "repo": repo,
        "tag": tag,
    }
    path.write_text(header + render.environment("dataset").get_template("study.md").render(template), "utf-8")


def _table(facts: Facts, factor: str, reference: str) -> list[dict[str, Any]]:
    """One line per value: the mean score and its interval on every measure, and the number of training rows."""
    lines = []
    benchmarks = [{(s["measure"], s["benchmark"]) for s in run["scores"]} for run in facts["runs"]]
    everywhere = [(s["measure"], s["benchmark"]) for s in facts["runs"][0]["scores"]]
    everywhere = [each for each in everywhere if all(each in found for found in benchmarks)]
    values = dict.fromkeys((run["factor"], run["value"]) for run in facts["runs"] if run["factor"] in ("", factor))
    for own, value in values:
        runs = [run for run in facts["runs"] if (run["factor"], run["value"]) == (own, value)]
        cells = {}
        for measure in dict.fromkeys(measure for measure, _ in everywhere):
            mine = [name for other, name in everywhere if other == measure]
            scores = [
                np.mean([s["score"] for s in run["scores"] if s["measure"] == measure and s["benchmark"] in mine])
                for run in runs
            ]
            mean, half = mean_interval(np.array(scores))
            cells[measure] = f"{mean:.3f}" if half is None else f"{mean:.3f} ± {half:.3f}"
        rows_used = sorted({run["rows"] for run in runs})
        lines.append({"value": value if own else f"{reference} (reference)", "rows": rows_used, "cells": cells})
    return lines


def _caveats(facts: Facts, factor: str) -> list[str]:
    """Sentences on what the intervals of a factor do not include."""
    found = []
    made = {name for label, names in facts["rows_generated"].items() if label.split("=")[0] == factor for name in names}
    if made:
        once = ", ".join(name for name in STAGES if name in made)
        found.append(
            f"Each value's rows were generated once ({once}): the intervals include the noise of training, not that"
            " of generating rows. They compare these sets of rows; `--seed-all` compares the settings."
        )
    rows_used = {run["rows"] for run in facts["runs"] if run["factor"] in ("", factor)}
    if len(rows_used) > 1 and not factor.endswith("rows"):
        found.append(
            f"The embedders were trained on {min(rows_used):,} to {max(rows_used):,} rows: part of a difference may"
            " come from the amount. `--set embedder.rows=…` makes them equal."
        )
    return found


def publish(facts: Facts, session: Session) -> Ref:
    """Publish a study as a version of `<org>/speed-study`, unless that version exists."""
    repo = session.full_name("speed-study")
    tag = tag_of(fingerprint_of(facts))
    if ref := session.hub.find("dataset", repo, tag):
        return ref
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        write_parquet(rows(facts), StudyRow, out / "study")
        write_parquet(facts["effects"], EffectRow, out / "effects")
        (out / RECORD).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        header = {
            "license": facts["fields"]["license"],
            "tags": ["hub_speed", "speed", "embeddings"],
            "task_categories": ["sentence-similarity"],
            "size_categories": [size_category(sum(1 for _ in rows(facts)))],
            "annotations_creators": ["machine-generated"],
            "pretty_name": "SPEED study",
            "configs": [
                {"config_name": "study", "data_files": "study/*.parquet", "default": True},
                {"config_name": "effects", "data_files": "effects/*.parquet"},
            ],
        }
        card = f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n"
        _write_page(facts, out / "README.md", "figures", card, repo=repo, tag=tag)
        return session.hub.publish("dataset", repo, out, message=f"study: {facts['recipe']}", tag=tag)


def write_docs(facts: Facts, folder: Path) -> None:
    """Write the page as `folder`/study.md, its figures into `folder`/study, the raw numbers as `folder`/study.json."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_page(facts, folder / "study.md", "study")
    (folder / "study.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
