"""Every kind of row that is published, with its columns: one description for the parquet schema, cards and tests.

`prompt`/`completion` and `prompt`/`chosen`/`rejected` are TRL's column names; sentence-transformers takes
`query`/`positive`/`negative` as they are.
"""

from pydantic import BaseModel, ConfigDict, Field

REASONS = {
    "empty_answer": "the model answered nothing",
    "truncated": "the answer stopped at the token limit",
    "bad_json": "no JSON object could be read from the answer",
    "wrong_keys": "a key is missing, or one too many is there",
    "wrong_type": "a value is not of the type asked for",
    "empty_field": "a value is empty, says nothing, or is a placeholder that nobody filled",
    "echo": "a value only repeats a key, the task, the topic or a phrase of the prompt",
    "not_a_task": "a task is not a sentence",
    "broken_text": "a value holds a special token of a model, its thinking, or characters that stand for damage",
    "positive_equals_query": "the positive repeats the query",
    "positive_equals_negative": "the negative repeats the positive or the query",
    "copied_text": "the positive contains the query word for word",
    "label_leak": "the text contains its label or the misleading one",
    "too_short": "a text is clearly shorter than requested",
    "too_long": "a text is more than twice as long as requested",
    "wrong_script": "a text is not written in the script of its language",
    "bad_index": "the judge named a candidate that does not exist",
    "tie": "the judge named the same candidate best and worst",
    "unfit_best": "the check rejects the candidate that the judge named best",
    "unfit_candidates": "the check rejects every candidate, so the judge was not asked",
    "orders_differ": "asked with the candidates in reverse order, the judge named another best or worst one",
    "stock_phrase": "the chosen answer has a phrase that too many other prompts got as well",
    "names_source": "the question speaks of its source (the document, the passage, the text above)",
    "copies_passage": "the question repeats the wording of its passage",
    "answerable_without": "the generator answers the question without the passage",
    "not_found": "the search for the question does not find its passage among the first",
    "unfit_question": "the judge finds that the passage does not answer the question",
    "seen_in_training": "a training document has its passage, or a training question its words",
    "all_ambiguous": "so many mined texts answer the question that nobody can tell which do not",
    "false_negative": "a mined text answers the question, and the recipe drops such rows",
    "no_margin": "no candidate has a positive that is nearer to the query than a hard negative",
    "same_candidates": "there are fewer than two different candidates",
    "duplicate": "another accepted row has exactly the same text",
    "near_duplicate": "another accepted row has almost the same text",
    "contaminated": "a text of the row is one of a test set, or nearly so: `detail` says which",
    "surplus": "as many rows of this task type as are wanted were accepted before it",
    "refused": "the endpoint, the model or a filter refuses this request but answers others (for example, because its "
    "prompt is too long), or a value is a refusal",
    "endpoint_error": "the endpoint kept failing on this request",
}
"""Why a row was not accepted. A model that is asked again reads the text for its own answer."""

STATES = {
    "accepted": "the answer is used as received",
    "repaired": "the answer is used after its JSON was corrected",
    "reasked": "the second answer is used, given after the model was told what was wrong with the first",
    "rejected": "the answer is not used; `reason` says why",
    "failed": "the endpoint kept failing on the request, or refused it; the next run asks again",
}
"""What became of a request: every row of a ledger is in exactly one of these states."""

ACCEPTED = ("accepted", "repaired", "reasked")
"""The states of the rows that are used."""


SPLITS = ("train", "dev", "test")
"""The splits of documents, and of the questions about them."""

FLAW = "with `checks: form`, what a check of the content says, for which nothing is rejected then; otherwise empty"


class Row(BaseModel):
    """The columns of all training rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="name of the row; the same in every repository the row passes through")
    task_type: str = Field(description="retrieval, classification, sts, short_matching, long_matching or bitext")


class TopicRow(BaseModel):
    """One topic."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = Field(description="a path from broad to narrow, its parts separated by /")


class TaskRow(Row):
    """One task of the pool."""

    task: str = Field(description="one sentence; later the instruction before the query")
    topic: str = Field(description="the topic the task was brainstormed for")


class PromptRow(Row):
    """The columns of everything generated for one prompt."""

    task: str = Field(description="the task for which the prompt requests an example")
    topic: str = Field(description="the topic of the task")
    language: str = Field(description="the requested language")
    target_language: str = Field(description="the second language of a bitext row, otherwise empty")
    knobs: str = Field(description="the values drawn for this row's prompt, as JSON")
    prompt: str = Field(description="the user message a model was given")


class SeedRow(PromptRow):
    """An example the teacher wrote, for supervised fine-tuning of the junior."""

    completion: str = Field(description="the answer, as one line of JSON")
    instruction: str = Field(description="the instruction that an embedder reads before the query")
    query: str = Field(description="the text to search with")
    positive: str = Field(description="the text the query should find")
    negative: str | None = Field(description="hard negative; null where the task type has none")
    generator: str = Field(description="the model that wrote the row")
    revised: bool = Field(description="whether a revisor rewrote the row")
    flaw: str = Field(description=FLAW)


class RootRow(PromptRow):
    """Several answers of the junior to one prompt."""

    candidates: list[str] = Field(description="the junior's answers, unchanged")
    reasons: list[str] = Field(description="for each candidate: why the check rejects it, or empty when it does not")
    flaws: list[str] = Field(description=f"for each candidate: {FLAW}")


class PreferenceRow(Row):
    """The best and the worst candidate of one prompt, for direct preference optimisation."""

    prompt: str = Field(description="the user message a model was given")
    chosen: str = Field(description="the candidate that was judged best")
    rejected: str = Field(description="the candidate that was judged worst")
    reason: str = Field(description="why, in the judge's words (numbers are places in `order`); an embedder's margins")
    order: list[int] = Field(description="the root row's candidates in the order the teacher saw them, by number")


class RevisionRow(Row):
    """The teacher's revision of one candidate, for supervised fine-tuning of the revisor."""

    prompt: str = Field(description="the revision prompt: the request and the draft")
    completion: str = Field(description="reason and revised data, as one line of JSON")
    changed: bool = Field(description="whether the teacher changed anything")
    flaw: str = Field(description=FLAW)


class DraftRow(SeedRow):
    """An example the generator wrote, before revision."""


class SyntheticRow(SeedRow):
    """An example for training an embedder."""

    draft: str = Field(description="the answer before revision, as one line of JSON")


class DocumentRow(BaseModel):
    """One document of a corpus, as text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="name of the document: the first 16 hex digits of `sha256`")
    sha256: str = Field(description="of the text, in UTF-8")
    source: str = Field(description="its path below the folder of the corpus, or the number of its row in a dataset")
    title: str = Field(description="its title, otherwise empty")
    text: str = Field(description="all of its text, as it was read")
    encoding: str | None = Field(None, description="its file's, if not UTF-8 or UTF-16; says where it is doubtful")
    group: str = Field(description="near-duplicate documents share a group: the smallest of their ids")
    split: str = Field(description="train, dev or test; the same for a whole group")


class PassageRow(BaseModel):
    """One passage of a document: what a question is written for, and what a search finds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="name of the passage: document-start-end")
    document: str = Field(description="id of the document")
    start: int = Field(description="the first character of `text` in the document's text, counted from 0")
    end: int = Field(description="the first character after it")
    title: str = Field(description="title of the document and headings above the passage, joined by ›; maybe empty")
    text: str = Field(description="the passage: the document's text from `start` to `end`")
    group: str = Field(description="the group of the document")
    split: str = Field(description="the split of the document")


class SkippedRow(BaseModel):
    """A document that gave no passage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="its path below the folder of the corpus, or the number of its row in a dataset")
    reason: str = Field(description="encrypted, empty, too_large, binary, duplicate, unreadable or unknown_kind")
    detail: str = Field(description="what exactly was wrong")


class QuestionRow(Row):
    """A question that a model wrote for a passage; the passage itself is the positive."""

    split: str = Field(description="train, dev or test: that of the passage's group of documents")
    group: str = Field(description="the passage's group of documents")
    kind: str = Field(description="single, two_passages or contrastive: see the documentation on documents")
    style: str = Field(description="question, keyword, natural, claim or title")
    language: str = Field(description="the requested language of the question")
    knobs: str = Field(description="everything drawn for this row's prompt, as JSON")
    prompt: str = Field(description="the user message a model was given")
    completion: str = Field(description="the answer, as one line of JSON")
    instruction: str = Field(description="the instruction that an embedder reads before the query")
    query: str = Field(description="the question")
    answer: str = Field(description="the short answer that the model gave beside its question, otherwise empty")
    positive: str = Field(description="the text of the first passage that answers it")
    negative: str | None = Field(description="of a contrastive row: the neighbouring passage that does not answer it")
    positive_ids: list[str] = Field(description="ids of the passages that answer it")
    negative_ids: list[str] = Field(description="ids of passages that do not answer it, by construction")
    generator: str = Field(description="the model that wrote the question")


class MinedRow(QuestionRow):
    """A question with hard negatives out of the whole corpus."""

    positives: list[str] = Field(description="texts of the passages in `positive_ids`")
    negatives: list[str] = Field(description="texts of the passages in `negative_ids`, the most similar first")
    positive_scores: list[float] = Field(
        description="for each positive: its similarity to the query, for the embedder that searched"
    )
    negative_scores: list[float] = Field(description="for each negative: the same")


class RelabelledRow(MinedRow):
    """The same after a reranker or a judge has looked at each text; the scores are its own, not the miner's."""

    positive_scores: list[float] = Field(description="for each positive: how well it answers, 0 to 1, by who looked")
    negative_scores: list[float] = Field(description="for each negative: the same")
    moved_ids: list[str] = Field(description="ids of passages that were mined as negatives and joined the positives")
    ambiguous_ids: list[str] = Field(
        description="ids of mined passages that were dropped, as nobody can tell or `mode` says so"
    )


class BenchmarkPassageRow(BaseModel):
    """A text of a benchmark's corpus, as BEIR has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id_: str = Field(alias="_id", description="the id of the passage in the corpus")
    title: str = Field(description="title of the document and headings above the passage, joined by ›; maybe empty")
    text: str = Field(description="the passage")


class BenchmarkQueryRow(BaseModel):
    """A query of a benchmark, as BEIR has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id_: str = Field(alias="_id", description="the id of the question")
    text: str = Field(description="the question")
    style: str = Field(description="question, keyword, natural, claim or title")
    kind: str = Field(description="single, two_passages or contrastive")


class JudgementRow(BaseModel):
    """A text that answers a query, as BEIR has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str = Field(alias="query-id", description="the `_id` of the query")
    passage: str = Field(alias="corpus-id", description="the `_id` of a passage that answers it")
    score: int = Field(description="always 1: passages without a judgement count as 0")


class LedgerRow(BaseModel):
    """What became of one request. Every request of a stage has a row, accepted or not, with the raw answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="the row's name")
    task_type: str = Field(description="the row's task type")
    state: str = Field(description="; ".join(f"{name}: {text}" for name, text in STATES.items()))
    reason: str = Field(description="why the answer was not accepted, otherwise empty")
    detail: str = Field(description="what exactly was wrong")
    duplicate_of: str = Field("", description="of a duplicate: the earlier row it is most similar to, else empty")
    similarity: float | None = Field(
        None, description="of a duplicate: its Jaccard similarity with that row (near-duplicates: estimated by MinHash)"
    )
    dropped_row: str = Field(
        "", description="of a duplicate or surplus: the row that was dropped, as one line of JSON, else empty"
    )
    prompt: str = Field("", description="of an answer that is not used: the user message a model was given, else empty")
    request: str = Field(description="sha256 of the request that was sent")
    completions: list[str] = Field(description="the raw answers; the later ones first when the model was asked again")
    thoughts: list[str] = Field(description="what a reasoning model thought before each answer")
    finish_reasons: list[str] = Field(description="for each answer: why the server stopped")
    model: str = Field(description="the model, as the server named it")
    prompt_tokens: int = Field(description="tokens read, as the server counted")
    completion_tokens: int = Field(description="tokens written, as the server counted")
    calls: int = Field(description="number of answered requests")
    attempts: int = Field(description="requests sent; one that was refused and sent in another form counts once")
    latency_s: float = Field(description="seconds until the answers came, without the waits before retries")


class ScoreRow(BaseModel):
    """One number of an evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(description="what was measured: a model or a baseline")
    task_type: str = Field(description="Retrieval, STS, Classification, ... as mteb names them")
    measure: str = Field(description="nDCG@10, Spearman, accuracy, ...")
    benchmark: str = Field(description="the Hub dataset or mteb task")
    dataset: str = Field(description="the benchmark's data as org/name@revision")
    value: float = Field(description="the score, between 0 and 1; a correlation may be below 0")
    low: float | None = Field(description="lower end of the 95% interval, where there is one")
    high: float | None = Field(description="upper end of the 95% interval, where there is one")
    n: int = Field(description="number of queries, pairs or texts; 0 if unknown")


class AuditRow(BaseModel):
    """How many of a generator's answers are fit to use, or good enough for the teacher."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(description="who wrote the rows: junior, senior, base; revised: after the revisor")
    measure: str = Field(
        description="yield: the check accepts the answer; pass rate: the teacher, asked to revise it, keeps it as it is"
    )
    value: float = Field(description="the share, between 0 and 1")
    low: float = Field(description="lower end of the 95% interval (Wilson)")
    high: float = Field(description="upper end of the 95% interval (Wilson)")
    n: int = Field(description="how many prompts were answered")


class ItemScoreRow(BaseModel):
    """The part of a score that comes from one query, pair or text. Only for benchmarks that are Hub datasets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(description="what was measured: a model or a baseline")
    measure: str = Field(description="nDCG@10, Spearman or accuracy")
    benchmark: str = Field(description="the Hub dataset it was measured on")
    item: str = Field(description="retrieval: the query's id; otherwise the number of the pair or text, from 0")
    value: float = Field(
        description="retrieval: nDCG@10 of the query; STS: cosine similarity of the pair; classification: share of the"
        " classifiers that predict the text's label"
    )
    gold: float | None = Field(description="STS: the pair's score in the benchmark; otherwise empty")


class QuestionScoreRow(BaseModel):
    """The mean score of the questions of one style or kind, on the benchmark of the run's own documents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(description="a model or a baseline; `embedder − X`: how much the embedder is better than X")
    by: str = Field(description="all, style or kind: how the questions are grouped")
    group: str = Field(description="the style or kind of the questions")
    value: float = Field(description="mean nDCG@10 of the group's questions; of a difference, its mean")
    low: float = Field(description="lower end of the 95% interval over questions")
    high: float = Field(description="upper end of the 95% interval over questions")
    n: int = Field(description="how many questions the group has")


class ScalingRow(BaseModel):
    """The score of one embedder trained on some of the rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(description="training rows; with the same seed, a smaller set is part of every larger one")
    rng_seed: int = Field(description="seed of the training run and of the order of the rows")
    measure: str = Field(description="nDCG@10 or Spearman")
    benchmark: str = Field(description="the benchmark")
    value: float = Field(description="the score, between 0 and 1")


class StudyRow(BaseModel):
    """One score of a study: one run, one measure. Runs with the recipe's own values are repeated for every factor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: str = Field(description="the recipe field that is varied")
    value: str = Field(description="the value of the field in this run")
    seed: int = Field(description="the number added to the recipe's seeds: 0, 1, …")
    measure: str = Field(description="nDCG@10 or Spearman")
    benchmark: str = Field(description="the benchmark")
    score: float = Field(description="the score, between 0 and 1")


class EffectRow(BaseModel):
    """The effect of one value of a factor, compared with the recipe's own value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: str = Field(description="the recipe field that is varied")
    value: str = Field(description="the value of the field in this run")
    reference: str = Field(description="the recipe's own value of the field")
    measure: str = Field(description="nDCG@10 or Spearman")
    benchmark: str = Field(description="the benchmark; several are averaged")
    difference: float = Field(description="score with the value − score with the reference, averaged over seeds")
    low: float | None = Field(description="lower end of the 95% interval, where there is one")
    high: float | None = Field(description="upper end of the 95% interval, where there is one")
    seeds: int = Field(description="pairs of runs with the same seed")
    items: int = Field(description="queries, pairs or texts in the bootstrap; 0: the interval holds the seeds alone")
    verdict: str = Field(description="supported, indistinguishable or unclear")
    holds: bool = Field(description="whether 0 is outside the interval at 1 − 5%/comparisons as well")


def columns(model: type[BaseModel]) -> dict[str, str]:
    """Column name → description, in the order of the columns."""
    return {field.alias or name: field.description or "" for name, field in model.model_fields.items()}
