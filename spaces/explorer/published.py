"""What an organisation has published, and what the page does with it: draw, write, revise, search, find rows.

No gradio in here. Everything is read when it is first needed; a version is pinned then and stays until the end of the
process. Weights are read as safetensors only, and no code of a repository is run.
"""

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from hub_speed import examples, prompts
from hub_speed.errors import HubError, HubSpeedError
from hub_speed.generate import Accepted
from hub_speed.hub import Hub, Kind, Ref
from hub_speed.instructions import with_instruction
from hub_speed.llm import dialects
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.mixture import PlannedRow, plan_rows
from hub_speed.parse import Rejected
from hub_speed.recipe import Recipe
from hub_speed.rows import read_parquet

Row = dict[str, Any]

# How much one visitor may ask for.
MAX_TEXTS, MAX_TEXT_CHARS = 200, 2000
MAX_QUERY_CHARS, MAX_INSTRUCTION_CHARS = 500, 300
MAX_KEPT = 200
MAX_SECONDS = 600  # to write one answer
# How much is held in memory.
MAX_TOPICS = 5000
MAX_ROWS = 5000  # of each task type, and of each ledger
MAX_PARAMETERS = 1_200_000_000  # of one model. Assumption: three in float32 fit into the 16 GB of a free Space

ROWS_A_PAGE = 10
TEXTS_SHOWN = 24  # prefilled in the search
GENERAL_INSTRUCTION = "Given a question, retrieve passages that answer it"

WEIGHTS = ("*.json", "*.safetensors", "*.txt", "*.model")
"""All that is fetched of a model: nothing that is run or unpickled."""

ROW_COLUMNS = ["id", "task_type", "topic", "instruction", "query", "positive", "negative", "revised", "draft"]
LEDGER_COLUMNS = ["id", "task_type", "state", "reason", "detail", "completions"]

log = logging.getLogger(__name__)


class _Once:
    """Makes each thing once, however many ask for it at the same time; what has failed is tried again."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            if name not in self._made:
                self._made[name] = make()
            return self._made[name]

    def has(self, name: str) -> bool:
        return name in self._made


class Published:
    """The repositories of one organisation on one Hub."""

    def __init__(self, hub: Hub, org: str) -> None:
        self.hub, self.org = hub, org
        self._once = _Once()

    # --- versions and settings --------------------------------------------------------------------------------------

    def ref(self, noun: str) -> Ref:
        """The version of `<org>/speed-<noun>` that is shown.

        Raises:
            HubError: there is no such repository, or the Hub does not answer.
        """
        kind: Kind = "model" if noun in ("junior", "senior", "revisor", "embedder") else "dataset"
        return self._once.get(f"ref {noun}", lambda: self.hub.pin(kind, f"{self.org}/speed-{noun}"))

    def record(self, noun: str) -> Row:
        """How that version was made.

        Raises:
            HubError: it was not made by hub-speed.
        """

        def read() -> Row:
            ref = self.ref(noun)
            record = self.hub.record(ref)
            if record is None:
                raise HubError(f"{ref}: it has no speed_run.json", expected="a repository that hub-speed has published")
            return record

        return self._once.get(f"record {noun}", read)

    def recipe(self) -> Recipe:
        """The settings the drafts were written with: knobs, languages, how the generator is asked."""
        return self._once.get("recipe", lambda: recipe_of(self.record("drafts"), str(self.ref("drafts"))))

    def generator(self) -> str:
        """Who writes the drafts: senior, or junior."""
        return self.recipe().synthesize.generator

    def is_quickstart(self) -> bool:
        """Whether the models come from the quickstart's tiny base."""
        return any("/tiny-base@" in name for name in self.record("synthetic")["lineage"])

    def address(self, ref: Ref) -> str | None:
        """Where a browser finds that version; None when this Hub may have no pages."""
        if urlsplit(self.hub.endpoint).hostname not in ("huggingface.co", "127.0.0.1", "localhost"):
            return None
        folder = "" if ref.kind == "model" else f"{ref.kind}s/"
        return f"{self.hub.endpoint}/{folder}{ref.repo}/tree/{ref.commit}"

    # --- topic → task → draft → revised -----------------------------------------------------------------------------

    def pool(self) -> examples.Pool:
        """Task type → (task, topic) pairs."""
        return self._once.get("pool", lambda: examples.task_pool(self.hub.fetch(self.ref("tasks"), "data/*")))

    def task_types(self) -> list[str]:
        """The task types there are tasks for, as the recipe's mixture names them."""
        return [name for name in self.recipe().mixture if self.pool().get(name)]

    def topics(self, task_type: str) -> list[str]:
        """The topics of a task type, in order."""
        return sorted({topic for _, topic in self.pool().get(task_type, [])})[:MAX_TOPICS]

    def tasks(self, task_type: str, topic: str | None) -> list[tuple[str, str]]:
        """The tasks of a type, on one topic or on all."""
        return [pair for pair in self.pool().get(task_type, []) if topic in (None, pair[1])]

    def draw(self, task_type: str, topic: str | None) -> PlannedRow:
        """A task, its language and its knobs, drawn as a run draws them."""
        tasks = self.tasks(task_type, topic)
        if not tasks:
            raise HubSpeedError(f"{self.ref('tasks')}: no such task", got=f"task type {task_type}, topic {topic}")
        seed = secrets.randbits(48)
        recipe = self.recipe().model_copy(update={"mixture": {task_type: 1.0}, "rng_seed": seed})
        return replace(next(plan_rows(recipe, "space", 1, {task_type: tasks})), id=f"space-{seed:012x}")

    def has_model(self, noun: str) -> bool:
        """Whether a model is in memory."""
        return self._once.has(f"model {noun}")

    def ask(self, noun: str, prompt: str) -> "Answering":
        """Have a generator or the revisor answer one prompt.

        Raises:
            HubSpeedError: the model is not there, cannot be loaded, or cannot read a prompt that long.
        """
        from hub_speed.llm.embedded import read_request

        settings = self.recipe().generator
        sampling = Sampling(settings.sampling_temperature, settings.top_p, settings.max_tokens)
        body = dialects.body("completion", Request(prompt, sampling), noun, settings.prompt_format)
        engine = self._once.get(f"model {noun}", lambda: self._load_engine(noun))
        try:
            ask = read_request(body, engine.tokenizer, engine.context, chat=False)
        except ValueError as error:
            raise HubSpeedError(f"{self.ref(noun)}: it cannot answer", got=str(error), fix="draw again") from error
        return Answering(engine, ask, noun)

    def read_draft(self, row: PlannedRow, completion: Completion) -> Accepted | Rejected:
        """The generator's answer as a row, or why not."""
        return examples.read_example(row, completion, self.generator())

    def revision_prompt(self, draft: Row) -> str:
        """What the revisor is asked."""
        return prompts.revision(draft["prompt"], draft["completion"])

    # --- search -----------------------------------------------------------------------------------------------------

    def search(self, instruction: str, query: str, texts: list[str]) -> list[tuple[float, str]]:
        """(score, text) of every text, best first; the score is the cosine of the embeddings, -1 to 1."""
        model = self._once.get("model embedder", self._load_embedder)
        asked = with_instruction(instruction, query) if instruction else query
        vectors = model.encode([asked, *texts], normalize_embeddings=True, show_progress_bar=False)
        scores = (vectors[1:] @ vectors[0]).tolist()
        return sorted(zip(scores, texts, strict=True), key=lambda found: -found[0])

    def some_texts(self) -> tuple[list[str], list[str], str]:
        """Positives of published rows to search in, instructions to choose from, and a first query."""
        rows = [row for row in self.rows() if row["task_type"] == "retrieval"] or self.rows()
        rows = rows[:: max(1, len(rows) // TEXTS_SHOWN)][:TEXTS_SHOWN]
        texts = dict.fromkeys(_one_line(row["positive"]) for row in rows)
        instructions = dict.fromkeys([GENERAL_INSTRUCTION, *(_one_line(row["instruction"]) for row in rows)])
        return list(texts), list(instructions), _one_line(rows[0]["query"]) if rows else ""

    # --- rows -------------------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """The first rows of every task type of the synthetic data."""

        def read() -> list[Row]:
            folder = self.hub.fetch(self.ref("synthetic"), "data/*/train-00000.parquet")
            parts = sorted(path for path in (folder / "data").iterdir() if path.is_dir())
            return [row for part in parts for row in islice(read_parquet(part, ROW_COLUMNS), MAX_ROWS)]

        return self._once.get("rows", read)

    def rejected(self) -> list[Row]:
        """Ledger lines of what was not accepted: as drafts, and after revision."""

        def read() -> list[Row]:
            return [*self._ledger("drafts", "draft"), *self._ledger("synthetic", "revised")]

        return self._once.get("rejected", read)

    def _ledger(self, noun: str, step: str) -> Iterator[Row]:
        folder = self.hub.fetch(self.ref(noun), "ledger/train-00000.parquet")
        lines = read_parquet(folder / "ledger", LEDGER_COLUMNS)
        lost = (line for line in lines if line["state"] in ("rejected", "failed"))
        return (line | {"step": step} for line in islice(lost, MAX_ROWS))

    # --- models -----------------------------------------------------------------------------------------------------

    def _load_engine(self, noun: str) -> Any:
        from hub_speed.llm import embedded

        return self._load(noun, lambda folder: embedded.Engine(*embedded.load(folder), batch=8))

    def _load_embedder(self) -> Any:
        from sentence_transformers import SentenceTransformer

        return self._load(
            "embedder",
            lambda folder: SentenceTransformer(
                str(folder), device="cpu", trust_remote_code=False, model_kwargs={"use_safetensors": True}
            ),
        )

    def _load(self, noun: str, load: Callable[[Path], Any]) -> Any:
        ref = self.ref(noun)
        try:
            count = count_parameters(self.hub.fetch(ref, "*.json"))
            if count <= MAX_PARAMETERS:
                return load(self.hub.fetch(ref, *WEIGHTS))
        except HubSpeedError:
            raise
        except Exception as error:  # whatever a library says of a folder that holds no model it can read
            log.exception("loading %s", ref)
            raise HubError(
                f"{ref}: the model cannot be loaded",
                expected="configuration, tokenizer and safetensors weights that need no code of their own",
                got=type(error).__name__,
                fix="the log of this page says more",
            ) from error
        raise HubError(
            f"{ref}: the model is too large for this page",
            expected=f"at most {MAX_PARAMETERS / 1e9:.1f} billion parameters, which a processor can run",
            got=f"{count / 1e9:.1f} billion",
        )


class Answering:
    """An answer while it is being written."""

    def __init__(self, engine: Any, ask: Any, noun: str) -> None:
        self._engine, self._ask, self._noun = engine, ask, noun
        self._started = time.monotonic()
        self._future = engine.submit(ask)

    def wait(self, seconds: float) -> bool:
        """Wait a moment; whether the answer is there.

        Raises:
            HubSpeedError: it takes too long.
        """
        futures.wait([self._future], timeout=seconds)
        if not self._future.done() and time.monotonic() - self._started > MAX_SECONDS:
            raise HubSpeedError(f"speed-{self._noun}: no answer after {MAX_SECONDS} seconds", fix="draw again")
        return self._future.done()

    def text(self) -> str:
        """What has been written so far."""
        return self._engine.text(self._ask.answers[0]) if self._ask.answers else ""

    def completion(self) -> Completion:
        """The answer, as an endpoint would give it."""
        answer = self._future.result(timeout=0)[0]
        return Completion(
            (self._engine.text(answer),),
            (answer.finish_reason,),
            f"speed-{self._noun}",
            len(self._ask.tokens),
            len(answer.tokens),
            latency_s=time.monotonic() - self._started,
        )


def recipe_of(record: Row, where: str) -> Recipe:
    """The part of a recipe that a record holds; the rest are defaults.

    Raises:
        HubError: it is of another version of hub-speed.
    """
    fields: Row = {}
    for name, value in record["identity"]["recipe"].items():
        section, _, field = name.partition(".")
        if field:
            fields.setdefault(section, {})[field] = value
        else:
            fields[name] = value
    try:
        return Recipe.model_validate({"name": record["recipe"]} | fields)
    except ValidationError as error:
        raise HubError(
            f"{where}: its recipe cannot be read",
            got=str(error.errors()[0]["loc"]),
            fix="run it again with this version",
        ) from error


def revise(draft: Row, completion: Completion) -> tuple[Row, "examples.Revised | Rejected"]:
    """A draft after revision, as the columns of speed-synthetic, and what the revisor said.

    As in a run: a revision that is not fit to use leaves the draft as it is.
    """
    revised = examples.read_revision(completion.texts[0], completion.finish_reasons[0], draft)
    kept = draft | {"draft": draft["completion"]}
    if isinstance(revised, Rejected):
        return kept, revised
    changed = examples.compact(revised.answer) != draft["completion"]
    columns = examples.training_columns(
        draft["task_type"], draft["task"], revised.answer, draft["generator"], revised=changed
    )
    return kept | columns, revised


def count_parameters(folder: Path) -> int:
    """How many parameters a model has, from its configuration; takes no memory."""
    import torch
    from transformers import AutoConfig, AutoModel

    with torch.device("meta"):
        return sum(p.numel() for p in AutoModel.from_config(AutoConfig.from_pretrained(folder)).parameters())


def read_texts(pasted: str) -> list[str]:
    """The texts to search in: one a line, equal ones once.

    Raises:
        HubSpeedError: there is none, there are too many, or one is too long.
    """
    texts = list(dict.fromkeys(filter(None, map(_one_line, (pasted or "").split("\n")))))
    if not texts:
        raise HubSpeedError("There is nothing to search in", fix="paste some texts, one a line")
    if len(texts) > MAX_TEXTS:
        raise HubSpeedError("Too many texts", expected=f"at most {MAX_TEXTS}, one a line", got=f"{len(texts):,}")
    for i, text in enumerate(texts, 1):
        if len(text) > MAX_TEXT_CHARS:
            raise HubSpeedError(
                f"Text {i} is too long", expected=f"at most {MAX_TEXT_CHARS:,} characters", got=f"{len(text):,}"
            )
    return texts


def read_line(name: str, text: str, most: int) -> str:
    """A query or an instruction.

    Raises:
        HubSpeedError: it is too long.
    """
    line = _one_line(text or "")
    if len(line) > most:
        raise HubSpeedError(f"The {name} is too long", expected=f"at most {most} characters", got=f"{len(line):,}")
    return line


@dataclass(frozen=True)
class Page:
    """Some of the rows that were found; pages count from 1."""

    rows: list[Row]
    number: int
    pages: int
    total: int
    reasons: Counter[str]


def find(rows: Iterable[Row], task_type: str | None, words: str, number: int) -> Page:
    """One page of the rows of a task type (None: of all) in which a text occurs, whatever its case."""
    needle = _one_line(words or "")[:MAX_QUERY_CHARS].lower()
    found = [row for row in rows if task_type in (None, row["task_type"]) and needle in _searchable(row)]
    pages = max(1, -(-len(found) // ROWS_A_PAGE))
    number = min(max(1, number), pages)
    start = (number - 1) * ROWS_A_PAGE
    reasons = Counter(row["reason"] for row in found if row.get("reason"))
    return Page(found[start : start + ROWS_A_PAGE], number, pages, len(found), reasons)


def _searchable(row: Row) -> str:
    values = [row.get(name) for name in ("id", "topic", "instruction", "query", "positive", "negative", "reason")]
    return _one_line(" ".join(filter(None, [*values, *row.get("completions", [])]))).lower()


def _one_line(text: str) -> str:
    return " ".join(text.split())
