"""Topic → task → draft → revised, as a run goes: the published models write one row."""

import secrets
from collections.abc import Iterator

from models import Models
from published import Json, Published
from rows import MAX_ROWS, PARTS

from hub_speed.errors import HubSpeedError
from hub_speed.generation import examples, prompts
from hub_speed.generation.examples import Revised
from hub_speed.generation.jobs import Accepted
from hub_speed.generation.parsing import Rejected
from hub_speed.generation.planning import PlannedRow, plan_rows
from hub_speed.generation.topics import spoken
from hub_speed.llm.dialects import Completion
from hub_speed.mix import heaviest
from hub_speed.rows import REASONS


class Writer:
    """Writes rows with the published generator and revisor, from published tasks."""

    def __init__(self, published: Published, models: Models) -> None:
        self.published, self.models = published, models

    def task_types(self) -> list[str]:
        """The task types there are tasks for."""
        return [name for name in self.published.recipe().mixture if self._pool().get(name)]

    def topics(self, task_type: str) -> list[str]:
        """The topics there are tasks for."""
        return sorted({topic for _, topic in self._pool().get(task_type, [])})[:MAX_ROWS]

    def _pool(self) -> examples.Pool:
        def read() -> examples.Pool:
            return examples.task_pool(self.published.hub.fetch(self.published.ref("brainstorm"), "data/*"))

        return self.published.keep("pool", read)

    def generate(self, task_type: str, topic: str = "") -> Iterator[Json]:
        """Draw a task, have a draft written and revised, as a run does; yields the same dictionary as it grows.

        Args:
            task_type: one of the six.
            topic: a topic of `topics()`; empty draws one.
        """
        recipe = self.published.recipe()
        generator = heaviest(recipe.synthesize.generator)
        row = self._draw(task_type, topic)
        flow: Json = {
            "task_type": row.task_type,
            "topic": spoken(row.topic),
            "task": row.task,
            "knobs": row.knobs | {"language": row.language},
            "prompt": row.prompt,
            "doing": f"The {generator} writes a draft …",
        }
        yield flow
        completion = self.models.ask(generator, row.prompt, recipe.generator)
        draft = examples.read_example(row, completion, generator, recipe.checks)
        flow |= {"draft": _told(completion, draft), "doing": ""}
        if isinstance(draft, Rejected):
            yield flow
            return
        yield flow | {"doing": "The revisor goes over it …"}
        prompt = prompts.revision(row.prompt, draft.row["completion"], may_keep=recipe.revision.may_keep)
        completion = self.models.ask("revisor", prompt, recipe.revise)
        kept, revised = examples.read_revised_draft(draft.row, completion, recipe.checks)
        flow["revised"] = _told(completion, revised)
        if isinstance(revised, Revised):
            flow["revised"] |= {"row": _parts(kept), "changed": kept["revised"]}
        yield flow

    def _draw(self, task_type: str, topic: str) -> PlannedRow:
        """A task, its language and its knobs, drawn as a run draws them, from a fresh seed."""
        tasks = [pair for pair in self._pool().get(task_type, []) if topic in ("", pair[1])]
        if not tasks:
            raise HubSpeedError(
                f"There is no such task in {self.published.ref('brainstorm')}",
                got=f"{task_type}, {topic or 'any topic'}",
            )
        changes = {"mixture": {task_type: 1.0}, "rng_seed": secrets.randbits(48)}
        recipe = self.published.recipe().model_copy(update=changes)
        return next(plan_rows(recipe, "explorer", 1, {task_type: tasks}))


def _told(completion: Completion, outcome: Accepted | Revised | Rejected) -> Json:
    """What became of an answer: its raw text, the verdict of the check, and the row if there is one."""
    told: Json = {"text": completion.texts[0], "tokens": completion.completion_tokens, "seconds": completion.latency_s}
    if isinstance(outcome, Rejected):
        means = REASONS.get(outcome.reason, "")
        return told | {"verdict": "rejected", "reason": outcome.reason, "means": means, "detail": outcome.detail}
    told["verdict"] = "repaired" if outcome.repaired else "accepted"
    return told | ({"row": _parts(outcome.row)} if isinstance(outcome, Accepted) else {"why": outcome.reason})


def _parts(columns: Json) -> Json:
    return {name: columns[name] for name in PARTS}
