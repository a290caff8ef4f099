"""Have a model write training rows, without a recipe and without a Hub."""

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_speed.api.sessions import stopping
from hub_speed.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    from hub_speed.recipe import Recipe


@dataclass(frozen=True)
class Generated:
    """What `generate` made, by id.

    Attributes:
        rows: checked training rows: `query`, `positive`, `negative`, `instruction` and the columns of `rows.SeedRow`.
        rejected: the other lines of the ledger (`rows.LedgerRow`), each with its `reason` and the model's texts.
    """

    rows: list[dict[str, Any]]
    rejected: list[dict[str, Any]]


def generate(
    *,
    tasks: Sequence[str] = (),
    passages: Sequence[str] = (),
    task_type: str = "retrieval",
    rows: int | None = None,
    endpoint: str,
    model: str,
    key: str | None = None,
    folder: Path | str | None = None,
    languages: Mapping[str, float] | None = None,
    knobs: Mapping[str, object] | None = None,
    rng_seed: int = 42,  # Assumption, as in `recipe.Recipe`
    teacher: Mapping[str, object] | None = None,
    runtime: Mapping[str, object] | None = None,
) -> Generated:
    """Have a model write training rows, without a recipe and without a Hub.

    Row i depends on its number alone, not on how many rows there are: asking for more keeps the earlier ones.

    Args:
        tasks: what the rows are for, one sentence each. Each row is written for one of them, drawn at random.
        passages: texts that become the positives, one row each; the model writes a query and a hard negative.
        task_type: retrieval, classification, sts, short_matching, long_matching or bitext.
        rows: how many are asked for: 100 when left out, or one for each passage.
        endpoint: address of an OpenAI-like server; "tgi+http://…" for another dialect.
        model: its name there.
        key: of the endpoint; $HUB_SPEED_TEACHER_KEY when left out.
        folder: keeps the ledger, so that the same call goes on after it was stopped. A temporary one when left out.
        languages: language → weight; English when left out.
        knobs: values of the prompt's knobs, for example {"query_length": ["less than 5 words"]}.
        rng_seed: decides what is drawn.
        teacher: how the model is asked: fields of `recipe.Teacher`, for example {"max_tokens": 1000}.
        runtime: how it is worked: fields of `recipe.Runtime`, for example {"in_flight": 8}.

    Raises:
        RecipeError: an argument is wrong; nothing was asked.
        EndpointError: the endpoint cannot be used.
        StageError: the folder holds the rows of other arguments.
        Stopped: Ctrl-C; with a folder, the same call goes on.

    Example:
        >>> made = generate(tasks=["Given a dish, find its recipe."], rows=20, endpoint="http://gpu1:8000", model="m")
        >>> made.rows[0]["query"], [line["reason"] for line in made.rejected]
        ('bread without an oven', ['too_short'])
    """
    from hub_speed.generation.ledger import Ledger
    from hub_speed.generation.on_request import Writing
    from hub_speed.llm.address import sendable_key
    from hub_speed.llm.addresses import Addresses
    from hub_speed.pipeline.lock import locked

    changes = {"teacher": {**(teacher or {}), "model": model}, "rng_seed": rng_seed, "runtime": runtime or {}}
    changes |= {"languages": languages or {"English": 1.0}, task_type: knobs or {}}
    recipe = _one_type(task_type, changes)
    writing = Writing(recipe, task_type, tuple(tasks), tuple(passages), rows)
    with (
        tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as work,
        locked(Path(work)),
        Ledger(Path(work), writing.identity()) as ledger,
        stopping() as stop,
        Addresses([f"teacher={endpoint}"], stop.is_set).open(recipe, "teacher", None, 1, Path(work) / "log") as address,
    ):
        address = replace(address, key=sendable_key(key, "`key`")) if key else address
        with ThreadPoolExecutor(1) as pool:  # a notebook's own event loop runs in this thread
            pool.submit(writing.ask, ledger, address, stop).result()
        return Generated(list(writing.rows(ledger)), list(writing.rejected(ledger)))


def _one_type(task_type: str, changes: Mapping[str, object]) -> "Recipe":
    """A recipe of one task type.

    Raises:
        RecipeError: there is no such task type, or a value is wrong.
    """
    from pydantic import ValidationError

    from hub_speed.recipe import Recipe
    from hub_speed.task_types import TASK_TYPES

    if task_type not in TASK_TYPES:
        known = ", ".join(TASK_TYPES)
        raise RecipeError(f"task_type {task_type}", expected=f"one of {known}", fix=did_you_mean(task_type, TASK_TYPES))
    try:
        return Recipe.model_validate({"name": "generate", "mixture": {task_type: 1}, **changes})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise RecipeError(f"generate: {where}", expected=problem["msg"], got=f"{problem['input']!r:.80}") from error
