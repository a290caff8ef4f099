"""Root data → the best and the worst candidate of every prompt, by the teacher.

In: speed-root. Out: speed-preference, with `prompt`/`chosen`/`rejected` for DPO.
Source: SPEED §3.2.4 and App. C.2 (10K, temperature 0).
Differs: candidates that repeat another are shown once; an index that does not exist, or a tie, drops the row.
"""

from collections.abc import Iterator

from hub_speed.generation import dataset, estimate, examples, prompts
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.parsing import Rejected, parse
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.rows import PreferenceRow
from hub_speed.stage import Context, Estimate, Stage, from_stages, pick


def read_verdict(row: Json, candidates: list[str], completion: Completion) -> Outcome:
    """The candidates that the teacher calls best and worst, as a preference row; or why there is none."""
    parsed = parse(completion.texts[0], prompts.Verdict, completion.finish_reasons[0])
    if isinstance(parsed, Rejected):
        return parsed
    best, worst = parsed.answer.best, parsed.answer.worst
    if not (0 <= best < len(candidates) and 0 <= worst < len(candidates)):
        return Rejected("bad_index", f"best={best}, worst={worst} of {len(candidates)} candidates")
    if best == worst:
        return Rejected("tie", parsed.answer.reason)
    pair = {"chosen": candidates[best], "rejected": candidates[worst], "reason": parsed.answer.reason}
    return Accepted({name: row[name] for name in ("id", "task_type", "prompt")} | pair, parsed.repaired)


def build(ctx: Context) -> None:
    """Fill `ctx.out` with preference pairs."""
    teacher = ctx.recipe.teacher
    sampling = Sampling(teacher.judge_temperature, 1.0, teacher.max_tokens)
    schema = prompts.Verdict.model_json_schema()
    rows = examples.root_rows(ctx.inputs["root"], ctx.recipe.preference.rows)

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in rows:
            if not todo(row["id"]):
                continue
            candidates = list(dict.fromkeys(row["candidates"]))
            prompt = prompts.judge(row["prompt"], candidates)
            yield Job(row["id"], row["task_type"], Request(prompt, sampling, schema, "verdict"), (row, candidates))

    def read(job: Job, completion: Completion) -> Outcome:
        row, candidates = job.source
        return read_verdict(row, candidates, completion)

    dataset.make(ctx, jobs, read, total=len(rows), model="teacher", row=PreferenceRow)


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words, calls = estimate.words(recipe), estimate.signals(recipe, recipe.preference.rows)
    read = words.prompt + words.judge + recipe.root.candidates * words.answer
    return estimate.asks(recipe, "teacher", calls, read, estimate.REASON_WORDS)


STAGE = Stage(
    name="preference",
    version=1,
    kind="dataset",
    noun="preference",
    purpose="The teacher names the best and the worst answer.",
    build=build,
    inputs=from_stages("root"),
    fields=lambda recipe: pick(
        recipe, "teacher.model", "teacher.judge_temperature", "teacher.max_tokens", "preference"
    ),
    prompts=lambda recipe: prompts.system_text(recipe, teacher=True) | prompts.judge_texts(),
    estimate=_estimate,
    row=PreferenceRow,
)
