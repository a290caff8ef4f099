"""Every kind of row that is published: its columns, documented once for the parquet schema, the cards and the tests.

`prompt`/`completion` and `prompt`/`chosen`/`rejected` are TRL's column names; `query`/`positive`/`negative` can be
given to sentence-transformers as they are.
"""

from pydantic import BaseModel, ConfigDict, Field

REASONS = {
    "empty_answer": "the model answered nothing",
    "truncated": "the answer stopped at the token limit",
    "bad_json": "no JSON object could be read from the answer",
    "wrong_keys": "a key is missing, or one too many is there",
    "wrong_type": "a value is not of the type asked for",
    "empty_field": "a value is empty",
    "positive_equals_query": "the positive is the query again",
    "positive_equals_negative": "the negative is the positive (or the query) again",
    "copied_text": "the query stands word for word in the positive",
    "label_leak": "a label stands in the text it labels",
    "too_short": "a text is clearly shorter than asked",
    "too_long": "a text is more than twice as long as asked",
    "wrong_script": "a text is not written in the script of its language",
    "bad_index": "the judge named a candidate that does not exist",
    "tie": "the judge named the same candidate best and worst",
    "same_candidates": "fewer than two different candidates to choose from",
    "duplicate": "another accepted row says the same, to the letter",
    "near_duplicate": "another accepted row says almost the same",
    "refused": "the endpoint refuses this request, while it answers others (its prompt is too long, say)",
    "endpoint_error": "the endpoint kept failing on this request",
}
"""Why a row was not accepted."""

STATES = {
    "accepted": "the answer is used as it came",
    "repaired": "used after json-repair",
    "reasked": "used after the model was told once what was wrong with its first answer",
    "rejected": "not used, for a reason",
    "failed": "the endpoint kept failing on it, or refused it; the next run asks again",
}
"""What becomes of a row: every row of a ledger is in exactly one of these states."""
ACCEPTED = ("accepted", "repaired", "reasked")
"""The states of the rows that are used."""


class Row(BaseModel):
    """Columns every row has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="name of the row; the same in every repository the row passes through")
    task_type: str = Field(description="retrieval, classification, sts, short_matching, long_matching or bitext")


class TopicRow(BaseModel):
    """One topic."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = Field(description="a path from broad to narrow, parts separated by /")


class TaskRow(Row):
    """One task of the pool."""

    task: str = Field(description="one sentence; later the instruction of the query side")
    topic: str = Field(description="the topic it was brainstormed for")


class PromptRow(Row):
    """Columns of everything that was generated for one drawn prompt."""

    task: str = Field(description="the task the prompt asks an example for")
    topic: str = Field(description="the topic of the task")
    language: str = Field(description="language asked for")
    target_language: str = Field(description="second language of a bitext row, else empty")
    knobs: str = Field(description="the values drawn for this row's prompt, as JSON")
    prompt: str = Field(description="the user message a model was given")


class SeedRow(PromptRow):
    """An example the teacher wrote, for supervised fine-tuning of the junior."""

    completion: str = Field(description="the answer, as one line of JSON")
    instruction: str = Field(description="goes before the query when an embedder reads it")
    query: str = Field(description="the text that is searched with")
    positive: str = Field(description="the text it should find")
    negative: str | None = Field(description="hard negative; null where the task type has none")
    generator: str = Field(description="the model that wrote the row")
    revised: bool = Field(description="whether a revisor rewrote it")


class RootRow(PromptRow):
    """Several answers of the junior to one prompt."""

    candidates: list[str] = Field(description="what the junior wrote, as it wrote it")
    reasons: list[str] = Field(description="per candidate: why the check rejects it, empty when it does not")


class PreferenceRow(Row):
    """The best and the worst candidate of one prompt, for direct preference optimisation."""

    prompt: str = Field(description="the user message a model was given")
    chosen: str = Field(description="the candidate the teacher called best")
    rejected: str = Field(description="the candidate the teacher called worst")
    reason: str = Field(description="why, in the teacher's words")


class RevisionRow(Row):
    """The teacher's revision of one candidate, for supervised fine-tuning of the revisor."""

    prompt: str = Field(description="the revision prompt: the request and the draft")
    completion: str = Field(description="reason and revised data, as one line of JSON")
    changed: bool = Field(description="whether the teacher changed anything")


class DraftRow(SeedRow):
    """An example the generator wrote, before revision."""


class SyntheticRow(SeedRow):
    """An example for training an embedder."""

    draft: str = Field(description="the answer before revision, as one line of JSON")


class LedgerRow(BaseModel):
    """What became of one request: every request of a stage is here, accepted or not, with the text as it came."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="the row's name")
    task_type: str = Field(description="the row's task type")
    state: str = Field(description="; ".join(f"{name}: {text}" for name, text in STATES.items()))
    reason: str = Field(description="why it was not accepted, else empty")
    detail: str = Field(description="what exactly was seen")
    request: str = Field(description="sha256 of the request that was sent")
    completions: list[str] = Field(description="the raw texts that came back; after asking again, the later ones first")
    thoughts: list[str] = Field(description="what a reasoning model thought before each text")
    finish_reasons: list[str] = Field(description="why the server stopped, per text")
    model: str = Field(description="the model, as the server named it")
    prompt_tokens: int = Field(description="tokens read, as the server counted")
    completion_tokens: int = Field(description="tokens written, as the server counted")
    calls: int = Field(description="how many requests were answered")
    attempts: int = Field(description="how many requests were sent, with those that were not answered")
    latency_s: float = Field(description="seconds the answers took, without the waits before retries")


class ScoreRow(BaseModel):
    """One number of an evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(description="what was measured: a model, a baseline or a set of rows")
    task_type: str = Field(description="Retrieval, STS, Classification, ... as mteb names them; rows for sets of rows")
    measure: str = Field(description="nDCG@10, Spearman, yield, pass rate, ...")
    benchmark: str = Field(description="the Hub dataset or mteb's task it was measured on, or rows")
    dataset: str = Field(description="where the benchmark's data is: org/name@revision; empty for sets of rows")
    value: float = Field(description="the number; between 0 and 1, a correlation may be below 0")
    low: float | None = Field(description="lower end of the 95% interval, where there is one")
    high: float | None = Field(description="upper end of the 95% interval, where there is one")
    n: int = Field(description="how many queries, pairs, texts or rows it was measured on; 0 if unknown")


class ItemScoreRow(BaseModel):
    """The part of a score that comes from one query, pair or text, of benchmarks that are Hub datasets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(description="what was measured: a model or a baseline")
    measure: str = Field(description="nDCG@10, Spearman or accuracy")
    benchmark: str = Field(description="the Hub dataset it was measured on")
    item: str = Field(description="retrieval: the query's id; else the number of the pair or text, from 0")
    value: float = Field(
        description="retrieval: nDCG@10 of the query; STS: cosine similarity of the pair; classification: share of the"
        " classifiers that name the text's label"
    )
    gold: float | None = Field(description="STS: the score the pair has in the benchmark; else empty")


class ScalingRow(BaseModel):
    """The score of one embedder trained on some of the rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(description="how many rows it was trained on; of one seed, smaller sets are part of the larger")
    rng_seed: int = Field(description="seed of the training run and of the order of the rows")
    measure: str = Field(description="nDCG@10 or Spearman")
    benchmark: str = Field(description="the benchmark")
    value: float = Field(description="the score, between 0 and 1")


class StudyRow(BaseModel):
    """One score of a study: one run, one measure. The reference's runs are rows of every factor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: str = Field(description="the recipe field that is varied")
    value: str = Field(description="the value it is given")
    seed: int = Field(description="0, 1, …: what is added to the recipe's seeds")
    measure: str = Field(description="nDCG@10 or Spearman")
    benchmark: str = Field(description="what it was measured on")
    score: float = Field(description="the score, between 0 and 1")


class EffectRow(BaseModel):
    """What a value of a factor is worth against the recipe's own value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: str = Field(description="the recipe field that is varied")
    value: str = Field(description="the value it is given")
    reference: str = Field(description="the recipe's own value of it")
    measure: str = Field(description="nDCG@10 or Spearman")
    benchmark: str = Field(description="what it was measured on; several are averaged")
    difference: float = Field(description="value − reference, a mean over seeds")
    low: float | None = Field(description="lower end of the 95% interval, where there is one")
    high: float | None = Field(description="upper end of the 95% interval, where there is one")
    seeds: int = Field(description="pairs of runs with the same seed")
    items: int = Field(description="queries, pairs or texts in the bootstrap; 0: the interval holds the seeds alone")
    verdict: str = Field(description="supported, not told apart or unclear")
    holds: bool = Field(description="whether 0 is outside the interval at 1 − 5%/comparisons, too")


def columns(model: type[BaseModel]) -> dict[str, str]:
    """Column name → what it holds, in order."""
    return {name: field.description or "" for name, field in model.model_fields.items()}
