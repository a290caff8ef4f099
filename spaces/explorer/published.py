"""What an organisation has published, and what the page does with it: write a row, search, find rows.

Everything starts from the newest `<org>/speed-synthetic`: its record names the very versions of tasks, generator and
revisor it was made with, and those are used. Things are read when first needed and then kept until the process ends.
Of models only safetensors, configuration and tokenizer are fetched; no code of a repository is run.
"""

import asyncio
import os
import secrets
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from hub_speed.cores import cores
from hub_speed.errors import EndpointDown, HubError, HubSpeedError
from hub_speed.generation import examples, prompts
from hub_speed.generation.examples import Revised
from hub_speed.generation.jobs import Accepted
from hub_speed.generation.parsing import Rejected
from hub_speed.generation.planning import PlannedRow, plan_rows
from hub_speed.generation.topics import spoken
from hub_speed.hub import Hub, Ref
from hub_speed.llm.address import Address
from hub_speed.llm.addresses import Addresses
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.endpoint import Endpoint, RowFailed
from hub_speed.mix import heaviest
from hub_speed.parquet import read_parquet
from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import Generator, Recipe, Revise
from hub_speed.record import RunRecord
from hub_speed.rows import REASONS
from hub_speed.text import with_instruction

Json = dict[str, Any]

# How much a visitor may ask for, and how much is held in memory for it.
MAX_TEXTS, MAX_TEXT_CHARS, MAX_LINE_CHARS = 200, 2000, 500
MAX_ROWS = 5000  # of each task type, and of each ledger
MAX_PARAMETERS = 1_200_000_000  # of a model run here. Assumption: three in float32 fit the 16 GB of a small Space
TIMEOUT_S = 300
ROWS_A_PAGE = 10
TEXTS_SHOWN = 24

PARTS = ("query", "positive", "negative")
WEIGHTS = ("*.json", "*.safetensors", "*.txt", "*.model")
SHOWN = ("brainstorm", "junior", "senior", "synthesize", "revisor", "revise", "embedder")

T = TypeVar("T")


class Published:
    """The repositories of one organisation on one Hub."""

    def __init__(self, hub: Hub, org: str) -> None:
        self.hub, self.org = hub, org
        self._kept: Json = {}
        self._locks: dict[str, threading.RLock] = {}
        self._servers = ExitStack()  # they end with this process

    # --- versions -------------------------------------------------------------------------------------------------

    def ref(self, name: str) -> Ref:
        """The version that a stage made: of the embedder the newest, of all else what the newest rows come from.

        Raises:
            HubError: it is not there; names the command that makes it.
        """
        if name == "embedder":
            return self._keep("embedder's version", lambda: self._newest("embedder"))
        if name not in self._lineage():
            raise HubError(f"{self.ref('revise')} was made without a stage {name}")
        return self._lineage()[name]

    def _lineage(self) -> dict[str, Ref]:
        """Stage → version; what no stage made is there by its repository's name."""

        def read() -> dict[str, Ref]:
            newest = self._newest("revise")
            found = {"revise": newest}
            for version, node in self._record(newest).lineage.items():
                repo, _, commit = version.partition("@")
                made = STAGES.get(node.stage)
                found[made.name if made else repo.split("/")[-1]] = Ref(made.kind if made else "model", repo, commit)
            return found

        return self._keep("lineage", read)

    def _newest(self, name: str) -> Ref:
        repo = STAGES[name].repo(self.org)
        ref = self.hub.head(STAGES[name].kind, repo)
        if ref is None:
            fix = f"make it: hub-speed run quickstart --org {self.org} --only {name}"
            raise HubError(f"{repo} is not on {self.hub.endpoint}", fix=fix)
        return ref

    def _record(self, ref: Ref) -> RunRecord:
        record = self.hub.record(ref)
        if record is None:
            raise HubError(f"{ref} has no speed_run.json", expected="a repository that hub-speed has published")
        return record

    def versions(self) -> Json:
        """What the page's head says: the versions that are there, and whether the models are the quickstart's."""
        found = []
        for name in SHOWN:
            try:
                ref = self.ref(name)
            except HubError:
                continue
            folder = "" if ref.kind == "model" else f"{ref.kind}s/"
            url = f"{self.hub.endpoint}/{folder}{ref.repo}/tree/{ref.commit}"
            found.append({"stage": name, "version": str(ref), "url": url})
        tiny = bool(found) and found[0]["stage"] != "embedder" and "tiny-base" in self._lineage()
        return {"org": self.org, "hub": self.hub.endpoint, "versions": found, "tiny": tiny}

    def recipe(self) -> Recipe:
        """The settings the rows were written with: mixture, knobs, languages, how generator and revisor are asked."""

        def read() -> Recipe:
            drafts, revised = (self._record(self.ref(name)).identity["recipe"] for name in ("synthesize", "revise"))
            return Recipe.model_validate({"name": "explorer"} | revised | drafts)

        return self._keep("recipe", read)

    # --- topic → task → draft → revised ---------------------------------------------------------------------------

    def task_types(self) -> list[str]:
        """The task types there are tasks for."""
        return [name for name in self.recipe().mixture if self._pool().get(name)]

    def topics(self, task_type: str) -> list[str]:
        """The topics there are tasks for."""
        return sorted({topic for _, topic in self._pool().get(task_type, [])})[:MAX_ROWS]

    def _pool(self) -> examples.Pool:
        return self._keep("pool", lambda: examples.task_pool(self.hub.fetch(self.ref("brainstorm"), "data/*")))

    def generate(self, task_type: str, topic: str = "") -> Iterator[Json]:
        """Draw a task, have a draft written and revised, as a run does; yields the same dictionary as it grows.

        Args:
            task_type: one of the six.
            topic: a topic of `topics()`; empty draws one.
        """
        generator = heaviest(self.recipe().synthesize.generator)
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
        completion = self._ask(generator, row.prompt, self.recipe().generator)
        draft = examples.read_example(row, completion, generator, self.recipe().checks)
        flow |= {"draft": _told(completion, draft), "doing": ""}
        if isinstance(draft, Rejected):
            yield flow
            return
        yield flow | {"doing": "The revisor goes over it …"}
        prompt = prompts.revision(row.prompt, draft.row["completion"], may_keep=self.recipe().revision.may_keep)
        completion = self._ask("revisor", prompt, self.recipe().revise)
        kept, revised = examples.read_revised_draft(draft.row, completion, self.recipe().checks)
        flow["revised"] = _told(completion, revised)
        if isinstance(revised, Revised):
            flow["revised"] |= {"row": _parts(kept), "changed": kept["revised"]}
        yield flow

    def _draw(self, task_type: str, topic: str) -> PlannedRow:
        """A task, its language and its knobs, drawn as a run draws them, from a fresh seed."""
        tasks = [pair for pair in self._pool().get(task_type, []) if topic in ("", pair[1])]
        if not tasks:
            raise HubSpeedError(
                f"There is no such task in {self.ref('brainstorm')}", got=f"{task_type}, {topic or 'any topic'}"
            )
        changes = {"mixture": {task_type: 1.0}, "rng_seed": secrets.randbits(48)}
        return next(plan_rows(self.recipe().model_copy(update=changes), "explorer", 1, {task_type: tasks}))

    def _ask(self, name: str, prompt: str, how: Generator | Revise) -> Completion:
        sampling = Sampling(how.sampling_temperature, how.top_p, self.recipe().generator.max_tokens)
        address = self._keep(f"address {name}", lambda: self._serve(name))

        async def ask() -> Completion:
            async with Endpoint(address, in_flight=1, timeout_s=TIMEOUT_S, retries=1) as endpoint:
                await endpoint.probe()
                return await endpoint.complete(Request(prompt, sampling))

        try:
            return asyncio.run(ask())
        except RowFailed as error:
            raise EndpointDown(f"The {name} does not answer", got=str(error), fix="try again") from error

    def _serve(self, name: str) -> Address:
        """The address of a model: HUB_SPEED_<NAME>_URL, or that of a server started here, which then stays."""
        weights = None if os.environ.get(f"HUB_SPEED_{name.upper()}_URL") else self._weights(name)
        log = Path(tempfile.mkdtemp()) / f"{name}.log"
        return self._servers.enter_context(Addresses([]).open(self.recipe(), name, weights, cores(), log))

    # --- search ---------------------------------------------------------------------------------------------------

    def search(self, query: str, texts: list[str], instruction: str = "") -> Json:
        """The texts by their cosine with the query, best first; the instruction goes before the query only."""
        texts = list(dict.fromkeys(filter(None, map(_one_line, texts))))
        query, instruction = _one_line(query), _one_line(instruction)
        if not query or not texts:
            raise HubSpeedError("A query and some texts are needed", fix="write a query, and paste texts, one a line")
        if len(texts) > MAX_TEXTS:
            raise HubSpeedError("Too many texts", expected=f"at most {MAX_TEXTS}", got=f"{len(texts):,}")
        if max(len(query), len(instruction)) > MAX_LINE_CHARS or max(map(len, texts)) > MAX_TEXT_CHARS:
            limits = f"{MAX_TEXT_CHARS:,} characters a text, {MAX_LINE_CHARS} for query and instruction"
            raise HubSpeedError("One of the texts is too long", expected=f"at most {limits}")
        model = self._keep("embedder", self._load_embedder)
        asked = with_instruction(instruction, query) if instruction else query
        vectors = model.encode([asked, *texts], normalize_embeddings=True, show_progress_bar=False)
        found = sorted(zip((vectors[1:] @ vectors[0]).tolist(), texts, strict=True), reverse=True)
        return {"query": asked, "embedder": str(self.ref("embedder")), "found": found}

    def some_texts(self) -> Json:
        """Something to search: texts, an instruction and a query of published rows."""
        rows = [row for row in self._rows() if row["task_type"] == "retrieval"] or self._rows()
        texts = dict.fromkeys(_one_line(row["positive"]) for row in rows[:TEXTS_SHOWN])
        first = rows[0] if rows else {"query": "", "instruction": ""}
        return {"query": first["query"], "instruction": first["instruction"], "texts": list(texts)}

    def _load_embedder(self) -> Any:
        from sentence_transformers import SentenceTransformer

        folder = self._weights("embedder")
        options = {"use_safetensors": True}
        return SentenceTransformer(str(folder), device="cpu", trust_remote_code=False, model_kwargs=options)

    # --- rows -----------------------------------------------------------------------------------------------------

    def rows(self, task_type: str = "", rejected: bool = False, page: int = 1) -> Json:
        """A page of the published rows, or of the ledger lines of what was rejected, with reasons and raw text.

        Args:
            task_type: one of the six; empty for all.
            rejected: whether to look into the ledgers (of drafts and of revised rows) instead.
            page: counts from 1.
        """
        found = self._rejected() if rejected else self._rows()
        found = [row for row in found if task_type in ("", row["task_type"])]
        pages = max(1, -(-len(found) // ROWS_A_PAGE))
        page = min(max(1, int(page)), pages)
        return {
            "from": [str(self.ref(name)) for name in (("synthesize", "revise") if rejected else ("revise",))],
            "total": len(found),
            "page": page,
            "pages": pages,
            "reasons": dict(Counter(row["reason"] for row in found).most_common()) if rejected else {},
            "rows": found[(page - 1) * ROWS_A_PAGE : page * ROWS_A_PAGE],
        }

    def _rows(self) -> list[Json]:
        columns = ["id", "task_type", "topic", "instruction", *PARTS, "revised", "draft"]

        def read() -> list[Json]:
            folder = self.hub.fetch(self.ref("revise"), "data/*/train-00000.parquet") / "data"
            parts = [islice(read_parquet(part, columns), MAX_ROWS) for part in sorted(folder.iterdir())]
            return sorted((row for part in parts for row in part), key=lambda row: row["id"])

        return self._keep("rows", read)

    def _rejected(self) -> list[Json]:
        columns = ["id", "task_type", "state", "reason", "detail", "duplicate_of", "completions"]

        def read() -> list[Json]:
            found: list[Json] = []
            for name in ("synthesize", "revise"):
                folder = self.hub.fetch(self.ref(name), "ledger/train-00000.parquet")
                lines = read_parquet(folder / "ledger", columns)
                lost = (line | {"stage": name} for line in lines if line["state"] in ("rejected", "failed"))
                found += islice(lost, MAX_ROWS)
            return found

        return self._keep("rejected", read)

    # --- what is kept ---------------------------------------------------------------------------------------------

    def _keep(self, name: str, make: Callable[[], T]) -> T:
        """Make something once, however many ask for it at the same time; what failed is tried again."""
        with self._locks.setdefault(name, threading.RLock()):
            if name not in self._kept:
                self._kept[name] = make()
            kept: T = self._kept[name]
            return kept

    def _weights(self, name: str) -> Path:
        """The files of a model that is small enough to be run here.

        Raises:
            HubError: it is not.
        """
        import torch
        from transformers import AutoConfig, AutoModel

        ref = self.ref(name)
        config = AutoConfig.from_pretrained(self.hub.fetch(ref, "*.json"), trust_remote_code=False)
        with torch.device("meta"):
            count = sum(p.numel() for p in AutoModel.from_config(config, trust_remote_code=False).parameters())
        if count > MAX_PARAMETERS:
            raise HubError(
                f"{ref} is too large to be run here",
                expected=f"at most {MAX_PARAMETERS / 1e9:.1f} billion parameters",
                got=f"{count / 1e9:.1f} billion",
                fix=f"serve it elsewhere and set HUB_SPEED_{name.upper()}_URL" if name != "embedder" else "",
            )
        return self.hub.fetch(ref, *WEIGHTS)


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


def _one_line(text: str) -> str:
    return " ".join(text.split())
