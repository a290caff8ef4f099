"""Questions about held-out documents → a benchmark that anyone's tool reads.

In: speed-filtered-questions, speed-corpus. Out: speed-benchmark, in the layout of BEIR (arXiv 2104.08663) as mteb reads
it: configs `corpus`, `queries` and `qrels`, beside the questions as they were written, and `eval.yaml` for the Hub.
The corpus is all passages, of whatever split, as a search has to do with all of them. Passages with the same text
answer the same questions. A question is left out where training documents have most of its passage, or a training
question its words: near-duplicate documents share a split, but a licence notice may stand in any of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from hub_speed.errors import StageError
from hub_speed.evaluation import eval_yaml
from hub_speed.generation import dataset
from hub_speed.generation.echo import plain
from hub_speed.generation.jobs import Accepted, Outcome, not_asked
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected
from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.record import Json
from hub_speed.retrieval.passages import Passages
from hub_speed.rows import BenchmarkPassageRow, BenchmarkQueryRow, JudgementRow, LedgerRow, QuestionRow
from hub_speed.stage import Context, Estimate, Stage, from_stages
from hub_speed.text import words

SEEN = 0.5
"""A passage of which training documents have more than this share, paragraph by paragraph, is no held-out one.
Assumption: a question is as likely about one part of its passage as about another."""

CONFIGS = [
    # not named "default", where mteb looks for judgements
    {"config_name": "questions", "data_files": [{"split": "test", "path": "data/**/*.parquet"}], "default": True},
    *(
        {"config_name": name, "data_files": [{"split": split, "path": f"{name}/*.parquet"}]}
        for name, split in [("corpus", "corpus"), ("queries", "queries"), ("qrels", "test")]
    ),
    {"config_name": "ledger", "data_files": "ledger/*.parquet"},
]


class Known:
    """What decides about a question: the texts of all passages, by their words, and those of the training rows.

    Attributes:
        said: the words of each passage, by its number.
        alike: words → the ids of the passages that have them.
        learnt: the words of the passages of training documents, and of their paragraphs.
        asked: the words of the training questions.
    """

    def __init__(self, passages: Passages, questions: Path) -> None:
        self.passages = passages
        self.said = [plain(row["text"]) for row in passages.rows]
        self.alike: dict[str, list[str]] = defaultdict(list)
        for row, text in zip(passages.rows, self.said, strict=True):
            self.alike[text].append(row["id"])
        self.learnt = {
            said
            for row, text in zip(passages.rows, self.said, strict=True)
            if row["split"] == "train"
            for said in (text, *map(plain, row["text"].split("\n\n")))
        }
        rows = read_parquet(questions, ["query", "split"])
        self.asked = {plain(row["query"]) for row in rows if row["split"] == "train"}

    def judge(self, question: Json) -> Outcome:
        """Whether a question can be part of the benchmark."""
        if plain(question["query"]) in self.asked:
            return Rejected("seen_in_training", "a training question has the same words")
        for number in self.passages.positives(question):
            if (share := self._share_learnt(number)) > SEEN:
                name = self.passages.rows[number]["id"]
                return Rejected("seen_in_training", f"training documents have {share:.0%} of the text of {name}")
        return Accepted(question)

    def _share_learnt(self, number: int) -> float:
        """The share of a passage's words that training documents have, as a whole or in paragraphs."""
        if self.said[number] in self.learnt:
            return 1.0
        parts = self.passages.rows[number]["text"].split("\n\n")
        lengths = [(len(words(part)), plain(part) in self.learnt) for part in parts]
        return sum(length for length, known in lengths if known) / max(1, sum(length for length, _ in lengths))

    def answers(self, question: Json) -> list[str]:
        """The ids of the passages that answer a question, and of those with the same text."""
        numbers = self.passages.positives(question)
        return list(dict.fromkeys(name for number in numbers for name in self.alike[self.said[number]]))


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the benchmark.

    Raises:
        StageError: no question about a held-out document is left, or its passage is not in the corpus.
    """
    passages, questions = Passages.read(ctx.inputs["corpus"] / "data"), ctx.inputs["filter"] / "data"
    known = Known(passages, questions)
    with Ledger(ctx.work, ctx.record.identity) as ledger:
        held_out = (row for row in read_parquet(questions) if row["split"] == "test")
        ledger.add(_entry(row, known.judge(row)) for row in held_out)
        dataset.finish(ctx, ledger, None, writers=None, row=QuestionRow, task_types=("retrieval",))
        if not ctx.record.accepted:
            raise _nothing(ctx)
        write_parquet(map(_passage, passages.rows), BenchmarkPassageRow, ctx.out / "corpus", split="corpus")
        write_parquet(map(_query, ledger.rows()), BenchmarkQueryRow, ctx.out / "queries", split="queries")
        write_parquet(_judgements(ledger, known), JudgementRow, ctx.out / "qrels", split="test")
    about = f"Which passage of a set of documents answers a question: {ctx.record.accepted:,} questions."
    (ctx.out / eval_yaml.FILE).write_text(eval_yaml.eval_yaml(ctx.repo, about, ("retrieval",)), "utf-8")


def _entry(question: Json, outcome: Outcome) -> tuple[LedgerRow, Json | None]:
    entry = not_asked(question["id"], question["task_type"], question["prompt"], outcome)
    return entry, outcome.row if isinstance(outcome, Accepted) else None


def _passage(row: Json) -> Json:
    return {"_id": row["id"], "title": row["title"], "text": row["text"]}


def _query(question: Json) -> Json:
    return {"_id": question["id"], "text": question["query"], "style": question["style"], "kind": question["kind"]}


def _judgements(ledger: Ledger, known: Known) -> Iterator[Json]:
    for question in ledger.rows():
        for name in known.answers(question):
            yield {"query-id": question["id"], "corpus-id": name, "score": 1}


def _nothing(ctx: Context) -> StageError:
    return StageError(
        "benchmark: no question about a held-out document",
        expected="at least one question of the split test that no training document answers",
        got=f"{ctx.record.rows_in:,} of the split test; " + (", ".join(ctx.record.rejected) or "none rejected"),
        fix="more documents, or more questions: --set questions.rows=…",
    )


def _facts(ctx: Context) -> Json:
    """How many questions there are of each style and kind."""
    rows = list(read_parquet(ctx.out / "queries", ["style", "kind"]))
    return {"counts": {by: Counter(row[by] for row in rows).most_common() for by in ("style", "kind")}}


STAGE = Stage(
    name="benchmark",
    version=1,
    kind="dataset",
    noun="benchmark",
    purpose="The questions about held-out documents become a benchmark.",
    build=build,
    inputs=from_stages("filter", "corpus"),
    fields=lambda recipe: {},
    estimate=lambda recipe, topics: Estimate(None, 0, 0, 0, 0),
    row=QuestionRow,
    facts=_facts,
    metadata={"configs": CONFIGS, "task_categories": ["text-retrieval"]},
)
