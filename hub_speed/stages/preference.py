"""Root data → the best and the worst candidate of every prompt, by the teacher.

In: speed-root. Out: speed-preference, with `prompt`/`chosen`/`rejected` for DPO.
Source: SPEED §3.2.4 and App. C.2 (10K, temperature 0).
Differs: candidates that repeat another are shown once; an index that does not exist, or a tie, drops the row.
"""

from collections.abc import Iterator

from hub_speed.generation import dataset, examples, prompts
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.parsing import Rejected, parse
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.rows import PreferenceRow
from hub_speed.stage import Context


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

    dataset.make(ctx, jobs, read, total=len(rows), model="teacher", row=PreferenceRow)
