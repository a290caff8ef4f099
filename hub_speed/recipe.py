"""Recipes: YAML that lists where a run differs from the defaults below. Strict, frozen, two levels.

Every default says where it comes from, or *Assumption* where the papers are silent. Values here are identity: they are
part of a stage's fingerprint. Only `runtime` and `budget` are not: they say how fast and at what cost, never what.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hub_speed.errors import did_you_mean
from hub_speed.mix import Mix, as_mix, heaviest, one_or_mix
from hub_speed.task_types import TASK_TYPES, TaskType
from hub_speed.text import SCRIPTS, Instructions

CHAT = "chat"
"""The prompt format that is the tokenizer's own chat template."""

ALL_LINEAR: Literal["all-linear"] = "all-linear"
"""The layers of an adapter that is on every linear layer but the output's."""

MINER = "intfloat/multilingual-e5-base"
"""What E5 mines hard negatives with (App. A). Its card asks for prompts; the model keeps none."""


def usual_prompts(searcher: str) -> tuple[str, str]:
    """What is put before queries and documents for an embedder that keeps no prompts itself."""
    return ("query: ", "passage: ") if searcher.partition("@")[0] == MINER else ("", "")


GENERATORS = ("senior", "junior", "base")
"""The models that can write drafts."""

BATCH_PRICE = 0.5
"""Of a provider's list price, in batches: "50% off", says OpenAI's page on its Batch API."""

TOPIC_FILES = (".txt", ".txt.gz", ".parquet")
"""How the name of a topic file ends; every other name is that of a dataset on the Hub."""

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""How often a value is drawn beside the others."""

QuestionKind = Literal["single", "two_passages", "contrastive"]
"""What a question about documents is answered by: one passage, two of one document, or one but not its neighbour."""

QuestionStyle = Literal["question", "keyword", "natural", "claim", "title"]
"""How a question about documents is worded."""

Match = Literal["exact", "normalised", "contained", "near"]
"""How a test text stands in a row: as it is; but for case and marks; in a longer text; with a few words changed."""

Checks = Literal["form", "all"]
"""What an answer is rejected for: its form alone, or its content as well."""


class Section(BaseModel):
    """A group of recipe fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Teacher(Section):
    """The strong model that brainstorms, writes the seed, judges and revises."""

    model: str | Mix = "gpt-4o-2024-05-13"  # SPEED §4.1; or several, {name: weight}: llama-embed-nemotron (arXiv
    # 2511.07025) reports 62.64 with the rows of the best single model, 62.89 with those of six
    sampling_temperature: float = Field(1.0, ge=0)  # SPEED App. B
    top_p: float = Field(1.0, gt=0, le=1)  # SPEED App. B
    judge_temperature: float = Field(0.0, ge=0)  # SPEED App. B
    max_tokens: int = Field(4096, gt=0)  # Assumption: two documents of 500 words and their JSON

    @field_validator("model", mode="before")
    @classmethod
    def _mix(cls, value: Any) -> str | Mix:
        return one_or_mix(value)

    @property
    def judge(self) -> str:
        """The model that judges: of several, the heaviest alone, so that all verdicts are on one scale. Assumption."""
        return heaviest(self.model)


class Generator(Section):
    """What junior, senior and revisor have in common: their base and how they are asked."""

    base_model: str = "meta-llama/Meta-Llama-3-8B"  # SPEED §4.1; the revisor starts from it too (§3.2.4)
    prompt_format: str = "{prompt} [/INST]"  # SPEED's released scripts: no chat template; or "chat": the base's own
    sampling_temperature: float = Field(1.0, ge=0)  # SPEED App. B, best of 0.2-1.5 (Fig. 3)
    top_p: float = Field(1.0, gt=0, le=1)  # SPEED App. B
    max_tokens: int = Field(2048, gt=0)  # Assumption: the released scripts' 800 cuts off long documents

    @field_validator("prompt_format")
    @classmethod
    def _has_place(cls, value: str) -> str:
        if value != CHAT and value.count("{prompt}") != 1:
            raise ValueError("must hold {prompt} exactly once, or be the word chat")
        return value


class Brainstorm(Section):
    """Topics → a pool of tasks."""

    topics: str = "topics.txt.gz"  # a Hub dataset with a column `topic`, or a file beside the recipe: text, one path a
    # line, or parquet; the default is the package's own
    max_topics: int | None = Field(17_500, ge=1)  # the most that the teacher is asked for, spread over all there are;
    # a type with fewer rows: its share. None: all. Assumption: SPEED states none; 20 rows a task at its 1.15M drafts
    tasks: str | None = None  # a Hub dataset with columns `task_type` and `task` (and `topic`): your own pool, without
    # a call; then no other field of this section counts
    max_depth: int = Field(4, ge=1)  # SPEED §4.3.2
    tasks_per_prompt: int = Field(5, ge=1)  # SPEED's released prompts (E5: 20)
    tasks_per_topic: int = Field(1, ge=1)  # SPEED Table 3: 1 is better than 3 or 5


class Seed(Section):
    """The teacher's own examples."""

    rows: int = Field(25_000, ge=1)  # accepted ones, as everywhere; SPEED §4.5


class Lora(Section):
    """Low-rank adapters; r = 0 trains every weight."""

    lora_r: int = Field(16, ge=0)  # SPEED's published revisor adapter; E5 §4.2
    lora_alpha: int = Field(32, ge=1)  # SPEED's published revisor adapter; E5's adapter
    lora_dropout: float = Field(0.1, ge=0, lt=1)  # as above
    target_modules: Literal["all-linear"] | tuple[str, ...] = Field(ALL_LINEAR, min_length=1)  # E5's published adapter:
    # all seven of a layer; or the names of linear layers

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the result of a training; those of an adapter only where there is one."""
        idle = set() if self.lora_r else {"lora_alpha", "lora_dropout"}
        if not self.lora_r or self.target_modules == ALL_LINEAR:  # every adapter was once on all linear layers
            idle |= {"target_modules"}
        return self.model_dump(mode="json", exclude=idle)


class Tuning(Lora):
    """What all fine-tuning of generators has in common."""

    target_modules: Literal["all-linear"] | tuple[str, ...] = Field(
        ("q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), min_length=1
    )  # SPEED's published revisor adapter, which leaves k_proj out; Assumption: junior and senior as well
    batch_size: int = Field(16, ge=1)  # SPEED App. B (junior and senior)
    epochs: float = Field(1, gt=0)  # Assumption: not stated
    max_length: int = Field(4096, ge=16)  # tokens of prompt and answer. Assumption: not stated
    too_long: Literal["drop", "truncate"] = "drop"  # Assumption: an answer that is cut off teaches no end
    warmup_ratio: float = Field(0.03, ge=0, lt=1)  # Assumption: not stated
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"  # Assumption: not stated
    load_in_4bit: bool = False  # QLoRA (arXiv 2305.14314), for small GPUs; SPEED does not say that it does so

    @model_validator(mode="after")
    def _has_adapter(self) -> "Tuning":
        if self.load_in_4bit and not self.lora_r:
            raise ValueError("load_in_4bit needs an adapter: lora_r above 0")
        return self


class Sft(Tuning):
    """Supervised fine-tuning of a generator or the revisor."""

    learning_rate: float = Field(1e-4, gt=0)  # SPEED App. B (junior)
    batching: Literal["by_length", "shuffled", "packed"] = "by_length"  # Assumption: not stated. Less padding
    weight_decay: float = Field(0.0, ge=0)  # Assumption: not stated


class Junior(Sft):
    """Base model + seed → junior generator."""


class Root(Section):
    """The junior's own answers, several per prompt."""

    rows: int = Field(10_000, ge=1)  # SPEED §4.5: 10K preference and 10K revision signals, from the same root data
    candidates: int = Field(5, ge=2)  # SPEED Fig. 5 shows 5; the text does not say


class Preference(Section):
    """Best and worst candidate, by the teacher or by an embedder."""

    rows: int | None = Field(None, ge=1)  # accepted pairs; None: what all of root gives
    signal: Literal["judge", "retrieval"] = "judge"  # SPEED §3.2.4; retrieval: an embedder's margin, without a teacher
    # call (after arXiv 2505.19307, which prefers by a ranker's score)
    embedder: str = "intfloat/multilingual-e5-base"  # whose margin it is. Assumption: the miner of E5 App. A
    judge: Literal["once", "both_orders"] = "once"  # SPEED §3.2.4; both_orders: asked again with the candidates in
    # reverse, only agreements are kept (position bias: arXiv 2306.05685)
    stock_share: float | None = Field(None, gt=0, lt=1)  # drops pairs whose chosen answer has a phrase that this share
    # of the type's other prompts got as well (`generation/stock_phrases.py`); None: none, as in SPEED

    @model_validator(mode="after")
    def _orders_are_a_judges(self) -> "Preference":
        if self.signal == "retrieval" and self.judge == "both_orders":
            raise ValueError("judge: both_orders needs signal: judge; an embedder has no order of its own")
        return self

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the pairs, without the input; those that SPEED lacks only where they are used."""
        idle = {"signal": "judge", "judge": "once", "stock_share": None}.items()
        found = self.model_dump(mode="json", exclude={"embedder"})
        return dict(item for item in found.items() if item not in idle)


class Senior(Tuning):
    """Junior + preferences → senior generator, by DPO."""

    dpo_beta: float = Field(0.1, gt=0)  # SPEED App. B, best of 0.05-0.3; Tülu 3 takes 5 for sigmoid_norm
    dpo_loss: Literal["sigmoid", "sigmoid_norm"] = "sigmoid"  # SPEED Eq. 2; sigmoid_norm divides the log-ratio of an
    # answer by its tokens, so that length is no reward in itself (Tülu 3, arXiv 2411.15124)
    learning_rate: float = Field(1e-5, gt=0)  # SPEED App. B
    batching: Literal["by_length", "shuffled"] = "shuffled"  # Assumption: not stated

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the senior; the loss only where it is not SPEED's."""
        found = super().deciding()
        return {name: value for name, value in found.items() if (name, value) != ("dpo_loss", "sigmoid")}


class RevisionSignals(Section):
    """The teacher's revisions of root data."""

    rows: int | None = Field(None, ge=1)  # accepted revisions; None: what all of root gives
    candidate: Literal["drawn", "best"] = "drawn"  # which of a prompt's. Assumption: not stated; SPEED Fig. 6 revises
    # the one that is judged best in Fig. 5
    may_keep: bool = False  # whether teacher and revisor may repeat a draft without a flaw; SPEED's always improve
    # (App. C.2). The audit always asks so, as it counts the rows that are left alone


class Revisor(Sft):
    """Base model + revisions → revisor."""

    learning_rate: float = Field(5e-6, gt=0)  # SPEED App. B
    batch_size: int = Field(24, ge=1)  # SPEED App. B


class Synthesize(Section):
    """Drafts at scale."""

    rows: int = Field(1_150_000, ge=1)  # SPEED App. A: raw set, before MinHash
    generator: str | Mix = "senior"  # SPEED; Table 2: "junior" is that without DPO, "base" the one without alignment:
    # generator.base_model as it is; or several, {senior: 3, junior: 1}

    @field_validator("generator", mode="before")
    @classmethod
    def _mix(cls, value: Any) -> str | Mix:
        models = one_or_mix(value)
        for name in as_mix(models):
            if name not in GENERATORS:
                raise ValueError(_unknown("generator", name, list(GENERATORS)))
        return models


class Revise(Section):
    """Drafts → revised rows, near-duplicates removed."""

    sampling_temperature: float = Field(1.0, ge=0)  # the released scripts, for generator and revisor alike
    top_p: float = Field(1.0, gt=0, le=1)  # the same
    dedup_threshold: float = Field(0.75, gt=0, le=1)  # Assumption: SPEED says MinHash, not how (docs/duplicates.md):
    # of STS-B's pairs with the same meaning it finds 25%, of those with another one 0.2%
    dedup_words: int = Field(1, ge=1)  # of the n-grams that are compared. Assumption: single words, as CodeParrot has
    # them; rows are short, and one changed word changes three 3-grams
    dedup_permutations: int = Field(120, ge=12, multiple_of=12)  # Assumption: not stated; 128 is usual, 120 has more
    # divisors, and so more ways to cut it into bands


class Labelled(Section):
    """A labelled set on the Hub that is mixed with the synthetic rows."""

    repo: str  # a Hub dataset: name or name@revision
    config: str = "default"  # the name the Hub gives a set that has one config only
    split: str = "train"  # E5 App. A: train splits only
    files: tuple[str, ...] = ()  # patterns such as data/nq-*: just these files are fetched and read, whatever the card
    # says of configs and splits; (): the whole repository
    layout: Literal["pairs", "beir"] = "pairs"  # beir, as in BEIR and mteb: the rows are judgements (query-id,
    # corpus-id, score), joined with the configs queries and corpus, from which negatives are mined as well
    query: str = "query"  # the name of the column; a column of lists counts by its first text
    positive: str = "positive"  # as above
    negative: str | None = None  # as `positive`; None: mined
    label: str | None = None  # rows of the same label are not negatives of each other
    title: str | None = None  # of the positive, before whose text it is put
    where: dict[str, str | int] = {}  # only rows with these values are pairs: {label: 0}, the entailments of NLI
    negative_where: dict[str, str | int] = {}  # rows that hold hard negatives of the same query: {label: 2} of NLI
    instruction: str | tuple[str, ...]  # goes before the query (E5 Table 14 lists the papers'); of several, each row
    # draws one
    weight: float = Field(1.0, gt=0)  # how often a row is seen: E5 App. A takes 0.1 of ELI5 and Quora, 0.5 of MS MARCO
    max_rows: int | None = Field(None, ge=1)  # at most this many of them
    license: str  # the set's own, for the card: what is trained on it may be bound by it
    rows: int | None = Field(None, ge=1)  # how many the set has, for `plan` alone

    @model_validator(mode="after")
    def _has_one_source_of_negatives(self) -> "Labelled":
        if not self.instructions or not all(self.instructions):
            raise ValueError("instruction: at least one, and none of them empty")
        if self.negative and self.negative_where:
            raise ValueError("negative_where: negative names a column already; give one of them")
        if self.layout == "beir" and (self.files or self.negative or self.negative_where or self.where):
            raise ValueError("layout: beir has configs and columns of its own: no files, negative, where")
        return self

    @property
    def kind(self) -> str:
        """What its rows are called beside the task types."""
        name = self.repo.partition("@")[0]
        return " ".join([name, *([self.config] if self.config != "default" else []), *self.files])

    @property
    def instructions(self) -> tuple[str, ...]:
        """The instructions a row may have."""
        return (self.instruction,) if isinstance(self.instruction, str) else self.instruction

    @property
    def mines(self) -> bool:
        """Whether its hard negatives are mined: the set has none of its own."""
        return self.negative is None and not self.negative_where

    @property
    def expected_rows(self) -> int:
        """How many rows are drawn, as far as the recipe says how many there are."""
        drawn = round((self.rows or 0) * self.weight)
        return min(drawn, self.max_rows or drawn)

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the rows; those that few sets need only where they are set."""
        found = self.model_dump(mode="json", exclude={"license", "rows"})
        rare = {name: Labelled.model_fields[name].default for name in ("files", "layout", "title")}
        rare |= {"where": {}, "negative_where": {}}
        return {name: value for name, value in found.items() if name not in rare or getattr(self, name) != rare[name]}


class Corpus(Section):
    """The documents that questions are written for, and how they are cut."""

    source: str = (
        ""  # a folder or a file beside the recipe, or a Hub dataset: org/name or org/name@revision. Assumption:
    )
    # yours
    column: str = "text"  # of a dataset, and of .csv, .jsonl and .parquet files: the text of a document; a column
    # `title` is its title. Assumption: the name that most datasets have
    passage_words: int = Field(200, ge=20)  # about the most that a passage has. Assumption: twice the passages of DPR
    # (arXiv 2004.04906), some 270 tokens of English, so that E5's 512 tokens (`embedder.max_length`) hold all of them
    group_share: float = Field(0.6, gt=0, le=1)  # documents that are alike to this share are of one group. Assumption
    dev_share: float = Field(0.1, ge=0, lt=1)  # of the groups. Assumption
    test_share: float = Field(0.2, ge=0, lt=1)  # of the groups: no test question's source is trained on. Assumption

    @model_validator(mode="after")
    def _leaves_some(self) -> "Corpus":
        if self.dev_share + self.test_share >= 1:
            raise ValueError("dev_share and test_share leave nothing to train on: together they must be below 1")
        return self

    @property
    def folder(self) -> Path | None:
        """The folder or file on this machine, None for a dataset of the Hub; a loaded recipe has its whole path."""
        return Path(self.source) if Path(self.source).is_absolute() else None


class Questions(Section):
    """Passages → questions."""

    rows: int = Field(2_000, ge=1)  # accepted ones. 1.5K in-domain rows beat 1M general ones (arXiv 2511.07025)
    test_rows: int = Field(200, ge=0)  # at least so many of them are about test documents, but no more than half.
    # Assumption: the 95% interval of a score is then about 0.05 to each side
    per_passage: int = Field(4, ge=1)  # at most so many for each passage there is. Assumption: more repeat each other
    generator: Literal["teacher", "senior", "junior", "base"] = "base"  # who writes them; base: generator.base_model
    instruction: str = Field("Given a question, retrieve passages that answer it", min_length=1)  # before every query,
    # of all styles alike. Assumption: who searches does not name a style; E5 §3.2 puts such a sentence before queries
    prompt: Literal["full", "short"] = "full"  # short: passage, style and form alone, for a generator that is too small
    # for guidelines and sees examples in `generator.prompt_format` (docs/questions.md). Assumption: measured there
    kinds: dict[QuestionKind, Weight] = {"single": 6, "two_passages": 1, "contrastive": 3}  # Assumption
    styles: dict[QuestionStyle, Weight] = {
        "question": 3,
        "natural": 2,
        "keyword": 3,
        "claim": 1,
        "title": 1,
    }  # Assumption: most searches are keywords or questions
    audiences: dict[str, Weight] = {
        "new to the subject": 1,
        "at work with it every day": 2,
        "an expert who checks a detail": 1,
    }  # Assumption: nobody has measured what personas are worth
    reasoning: dict[str, Weight] = {
        "looking up one fact": 3,
        "knowing how something is done": 2,
        "knowing a cause or a purpose": 1,
        "comparing two things": 1,
        "putting several facts together": 1,
    }  # of a question about one passage. Assumption
    difficulty: dict[str, Weight] = {"easy": 1, "of medium difficulty": 2, "hard": 1}  # Assumption
    copied_run: int = Field(5, ge=2)  # so many words in a row (twice as many signs where words have no spaces) that
    # the passage has as well are copied. Assumption: measured on planted cases (docs/documents.md)
    copied_share: float = Field(0.5, gt=0, le=1)  # of a question's words that may be copied. Assumption: as above

    @field_validator("kinds", "styles", "audiences", "reasoning", "difficulty", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        return _as_weights(value)

    @field_validator("kinds", "styles", "audiences", "reasoning", "difficulty")
    @classmethod
    def _has_values(cls, value: dict[str, float]) -> dict[str, float]:
        if not value:
            raise ValueError("at least one value")
        return value

    @model_validator(mode="after")
    def _explains_kinds(self) -> "Questions":
        if self.prompt == "short" and set(self.kinds) != {"single"}:
            raise ValueError("prompt: short explains no kinds of questions: set kinds to [single]")
        return self

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the questions; the prompt only where it is not the full one."""
        return self.model_dump(mode="json", exclude=set() if self.prompt == "short" else {"prompt"})


class Filter(Section):
    """Questions → those that a search can answer, and only with their passage."""

    embedder: str = MINER  # finds the passages, beside BM25. Assumption: the miner of E5 App. A
    top_k: int = Field(10, ge=1)  # places among which the search must find the passage. Assumption: nDCG@10's ten
    answer_overlap: float = Field(0.6, gt=0, le=1)  # the least F1 of the words of two answers that say the same.
    # Assumption: measured on planted cases (docs/documents.md)
    judge: Literal["none", "teacher"] = "none"  # asks the teacher as well whether the passage answers the question


class Mine(Section):
    """Questions → questions with hard negatives out of all training documents."""

    embedder: str = MINER  # whose similarities count
    depth: int = Field(100, ge=1)  # E5 App. A: negatives are among the first 100
    negatives: int = Field(4, ge=1)  # of a row, at most. Assumption
    margin: float = Field(0.05, ge=0, lt=1)  # below the positive, as a share: NV-Retriever (arXiv 2407.15831)
    least_rows: float = Field(0.9, ge=0, le=1)  # while fewer rows than this share have a negative, the margin is
    # loosened, step by step and to 0 at most. Assumption
    siblings: int = Field(1, ge=0)  # passages of the same document so near to a positive are no negatives; those that
    # overlap it never are. Assumption


class Relabel(Section):
    """Mined texts → positives, negatives, and those that are neither."""

    by: Literal["reranker", "endpoint", "judge"] = "reranker"  # who looks at them: a cross-encoder here, or at an
    # address (--endpoint reranker=…), or the teacher, as in RLHN (arXiv 2505.16967)
    reranker: str = "BAAI/bge-reranker-v2-m3"  # any cross-encoder of the Hub with one score a pair. Assumption: small
    # and of many languages; RLHN distils bge-reranker-v2-gemma, which this library cannot load
    mode: Literal["relabel", "drop_negative", "drop_row", "keep"] = "relabel"  # what becomes of a negative that answers
    # the question: RLHN's BEIR (7 sets) 0.445, 0.431, 0.423; keep: all stay as they were mined, 0.425
    positive_share: float = Field(0.95, gt=0, le=1)  # of the lowest score of a known positive, from which on a text
    # answers the question as well: NV-Retriever's 95% (arXiv 2407.15831), of a reranker's scores. Assumption
    negative_share: float = Field(0.5, ge=0, lt=1)  # below this share it does not; between the two nobody can tell.
    # Assumption
    min_score: float = Field(0.5, ge=0, le=1)  # below it no text becomes a positive: a known positive with a score near
    # 0 says nothing about the others. Assumption
    max_moved: int = Field(7, ge=0)  # a question with more new positives is too vague, and is dropped: RLHN

    @model_validator(mode="after")
    def _has_room_between(self) -> "Relabel":
        if self.negative_share > self.positive_share:
            raise ValueError(f"negative_share must not be above positive_share, which is {self.positive_share:g}")
        return self

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the labels, without the reranker where it is an input; a judge has no thresholds."""
        thresholds = {"positive_share", "negative_share", "min_score"}
        idle = {"reranker": {"reranker"}, "endpoint": set(), "judge": {"reranker", *thresholds}}
        return self.model_dump(mode="json", exclude=idle[self.by])


MINING = ("miner_prompts", "mine_from", "mine_to", "mine_margin")
"""Fields of the embedder that count only where hard negatives are mined."""

PUBLISHING = ("merge", "exports")
"""Fields of the embedder that count after a training."""


Pooling = Literal["last", "mean", "weighted_mean"]
"""How the states of a text's tokens become one vector: weighted by their place, as in SGPT (E5 Table 5), the third."""


class Merge(Section):
    """Several embedders of one architecture → one, by their weights."""

    seeds: tuple[int, ...] = ()  # one is trained with each; (): with embedder.rng_seed alone
    models: tuple[str, ...] = ()  # of the Hub, beside those: other checkpoints (org/name@revision), or other mixtures
    weights: tuple[float, ...] = ()  # of the trained ones, then of the models; (): all alike, as in
    # llama-embed-nemotron (arXiv 2511.07025), which reports 69.46 for six models, 68.62 for the best of them
    method: Literal["linear", "slerp"] = "linear"  # the mean; slerp: along the arc between weights, as Qwen3 Embedding
    # (arXiv 2506.05176) has it

    @model_validator(mode="after")
    def _has_several(self) -> "Merge":
        count = max(1, len(self.seeds)) + len(self.models)
        if count < 2:
            raise ValueError("at least two seeds, or one model to merge with what is trained")
        if len(set(self.seeds)) != len(self.seeds) or len(set(self.models)) != len(self.models):
            raise ValueError("a seed or a model is there twice")
        if self.weights and (len(self.weights) != count or min(self.weights) <= 0):
            raise ValueError(f"weights: expected {count} numbers above 0")
        return self


class Embedder(Lora):
    """Rows → embedder, by InfoNCE."""

    base_model: str = "mistralai/Mistral-7B-v0.1"  # SPEED §4.1, E5 §4.2
    pooling: Pooling | None = None  # None: a decoder's last token (SPEED §3.3), an encoder's mean
    instructions: Instructions = "natural"  # before a query: E5 §3.2; the others are studies of E5 Table 5
    data: Literal["revise", "synthesize", "seed", "filter", "mine", "relabel"] = "revise"  # synthesize and seed are
    # studies of SPEED Tables 1 and 2; drafts are used without near-duplicates, the teacher's rows without exact ones.
    # Assumption: not stated. The last three are questions about documents (docs/questions.md)
    rows: int | None = Field(None, ge=0)  # at most this many rows; None: all; 0: the labelled sets alone (E5 Table 5)
    loss_temperature: float = Field(0.02, gt=0)  # E5 §4.2; SPEED does not state one
    learning_rate: float = Field(1e-4, gt=0)  # E5 §4.2
    warmup_steps: int = Field(100, ge=0)  # E5 §4.2
    weight_decay: float = Field(0.1, ge=0)  # E5 §4.2
    batch_size: int = Field(1536, ge=2)  # SPEED App. B
    epochs: float = Field(1, gt=0)  # E5 §4.2
    max_length: int = Field(512, ge=8)  # E5 §4.2
    batching: Literal["homogeneous", "mixed"] = "homogeneous"  # Assumption: labels and sentences collide when mixed
    false_negative_margin: float | None = Field(None, ge=0)  # documents nearer than the positive by this cosine are no
    # negatives: 0.1 in Qwen3 Embedding (arXiv 2506.05176); None: none is left out, as in SPEED Eq. 4
    matryoshka: tuple[PositiveInt, ...] = ()  # dimensions the embedding may be cut to; () as in both papers
    labelled: tuple[Labelled, ...] = ()  # SPEED §4.1, E5 App. A: 13 sets in the supervised setting; () is "synthetic"
    miner_model: str = MINER  # finds negatives for labelled sets without (E5 App. A)
    miner_prompts: tuple[str, str] | None = None  # put before queries and documents if the miner keeps no prompts
    # itself; None: "query: " and "passage: " for E5's miner (its card), nothing for others
    mine_from: int = Field(0, ge=0)  # ranks that are skipped. Assumption: none, since the margin guards already
    mine_to: int = Field(100, ge=1)  # E5 App. A: of the first 100
    mine_margin: float = Field(0.05, ge=0, lt=1)  # below the positive, as a share: NV-Retriever (arXiv 2407.15831)
    distil: float = Field(0.0, ge=0)  # weight of the distance to a reranker's scores; needs data: relabel, whose rows
    # have them. RLHN (arXiv 2505.16967): AIR-Bench 0.368 → 0.401. 0: none, as in both papers
    distil_temperature: float = Field(1.0, gt=0)  # what the reranker's logits are divided by. Assumption
    teacher: str | None = None  # a larger embedder of the Hub, whose vectors are learnt as well (F2LLM-v2 80M: +4.67);
    # of more dimensions, its principal ones are
    teacher_weight: float = Field(1.0, gt=0)  # of the squared distance to these. Assumption
    merge: Merge | None = None  # what is published is the mean of several; None: what is trained, as in both papers
    exports: tuple[Literal["onnx", "static"], ...] = ()  # onnx: the same in another format; static: one vector a token,
    # without attention (model2vec); () as in both papers
    rng_seed: int = 42  # Assumption: neither paper sets one

    @model_validator(mode="after")
    def _has_data(self) -> "Embedder":
        if self.rows == 0 and not self.labelled:
            raise ValueError("rows is 0 and there are no labelled sets: nothing to train on")
        if self.distil and self.data != "relabel":
            raise ValueError("distil needs data: relabel, whose rows have scores (relabel.mode: keep scores alone)")
        return self

    @property
    def of_documents(self) -> bool:
        """Whether it is trained on questions about documents, which need no topics and tasks."""
        return self.data in ("filter", "mine", "relabel")

    @property
    def mines(self) -> bool:
        """Whether hard negatives are mined: some labelled set has none of its own."""
        return any(each.mines for each in self.labelled)

    @property
    def prompts_of_miner(self) -> tuple[str, str]:
        """What is put before queries and documents for a miner that keeps no prompts itself."""
        return self.miner_prompts or usual_prompts(self.miner_model)

    @property
    def labelled_rows(self) -> int:
        """How many labelled rows are drawn, as far as the recipe says how many there are."""
        return sum(each.expected_rows for each in self.labelled)

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the embedder, without its inputs; those of mining only where something is mined."""
        found = super().deciding()
        idle = ["base_model", "data", "miner_model", "teacher", *([] if self.mines else MINING)]
        idle += [] if self.distil else ["distil", "distil_temperature"]
        idle += [] if self.teacher else ["teacher_weight"]
        idle += [name for name in PUBLISHING if not getattr(self, name)]
        if self.instructions == "natural":
            idle.append("instructions")
        found["labelled"] = [each.deciding() for each in self.labelled]
        found["miner_prompts"] = list(self.prompts_of_miner)
        return {name: value for name, value in found.items() if name not in idle}


class Evaluate(Section):
    """Scores of the embedder and its baselines."""

    benchmarks: tuple[str, ...] = ("mteb:MTEB(eng, v1)",)  # SPEED Table 1. Others: docs/evaluation.md
    instructions: dict[str, str] = {}  # of benchmarks that are Hub datasets; the rest have E5's and mteb's

    @field_validator("instructions")
    @classmethod
    def _of_benchmarks(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        own = [name for name in info.data.get("benchmarks", ()) if not name.startswith("mteb:")]
        for name in value:
            if name not in own:
                raise ValueError(_unknown("instructions", name, own) if own else "mteb's benchmarks have their own")
        return value


class Decontaminate(Section):
    """Test texts that must not stand in training rows."""

    against: tuple[str, ...] | None = None  # Hub datasets, and mteb:NAME as in evaluate; None: evaluate.benchmarks, as
    # E5 App. B checks what it scores on; (): nothing is checked
    coverage: float = Field(0.8, gt=0, le=1)  # of a test text, by weight, that one place must hold; docs/trust.md
    drop: tuple[Match, ...] = ("exact", "normalised", "contained", "near")  # rows with such a match are dropped, others
    # are reported alone. Assumption: all; a few rows cost nothing
    max_texts: int = Field(10_000, ge=1)  # of each test set, spread evenly: some of mteb's clusterings have 700,000.
    # Assumption


class Audit(Section):
    """The teacher's look at the generators' rows."""

    rows: int = Field(300, ge=0)  # of each generator; 0: no audit. Assumption


class Scaling(Section):
    """Embedders on nested subsets."""

    sizes: tuple[PositiveInt, ...] = (28_750, 57_500, 115_000, 230_000, 460_000, 920_000)  # SPEED Tables 1 and 2: 230K
    # and 920K; the other sizes, each half of the next, are Assumptions: Fig. 4 cannot be read
    rng_seeds: tuple[int, ...] = (0, 1)  # Assumption: neither paper repeats a run


class BudgetCaps(Section):
    """What the teacher costs, and the most that one `hub-speed run` may spend on it. Never part of an identity."""

    usd_per_million_read: float | None = Field(None, ge=0)  # the provider's list price, which `runtime.mode: batch`
    # halves; of several teachers, the highest; None: costs are not shown
    usd_per_million_written: float | None = Field(None, ge=0)  # as above
    max_calls: int | None = Field(None, ge=1)  # None: no cap
    max_tokens: int | None = Field(None, ge=1)  # read and written together
    max_usd: float | None = Field(None, gt=0)  # None: no cap
    lifetime: bool = False  # what earlier runs of an unfinished stage spent counts as well, as its ledger knows it

    @model_validator(mode="after")
    def _has_prices(self) -> "BudgetCaps":
        prices = (self.usd_per_million_read, self.usd_per_million_written)
        if prices.count(None) == 1 or (self.max_usd is not None and None in prices):
            raise ValueError("give both usd_per_million_read and usd_per_million_written")
        return self

    def in_batches(self) -> "BudgetCaps":
        """The same caps, at the prices of a Batch API."""
        read, written = self.usd_per_million_read, self.usd_per_million_written
        if read is None or written is None:
            return self
        prices = {"usd_per_million_read": read * BATCH_PRICE, "usd_per_million_written": written * BATCH_PRICE}
        return self.model_copy(update=prices)

    def cost_usd(self, read: int, written: int) -> float | None:
        """Dollars for so many tokens; None where no prices are given."""
        if self.usd_per_million_read is None or self.usd_per_million_written is None:
            return None
        return (read * self.usd_per_million_read + written * self.usd_per_million_written) / 1e6


class Runtime(Section):
    """How a run is carried out. Never part of an identity."""

    mode: Literal["online", "batch"] = "online"  # batch: the teacher is asked through its provider's Batch API
    in_flight: int = Field(64, ge=1)  # requests at once, per endpoint; as many for each server that `replicas` starts
    timeout_s: float = Field(300, gt=0)
    retries: int = Field(8, ge=0)
    reask: bool = True  # tell a chat model once that its answer cannot be read: a retry, which the ledger shows
    reread: bool = False  # read the rejected answers of a ledger again before anything is asked, after a parser was
    # mended
    max_reject_rate: float = Field(0.5, gt=0, le=1)  # above it, a stage fails instead of publishing
    jobs: int = Field(1, ge=1)  # stages, or trainings of a study, side by side, each with its part of the GPUs
    replicas: int = Field(1, ge=1)  # servers that are started for a model, each with its part of the GPUs
    server: Literal["embedded", "vllm", "vllm run-batch", "tgi", "transformers"] = "embedded"  # started for a model
    # that has no address
    server_flags: tuple[str, ...] = ()  # for that program: ["--tensor-parallel-size", "2"]
    launcher: tuple[str, ...] = ()  # what trains on several devices: ["accelerate", "launch"], ["torchrun", …]
    micro_batch_size: int | None = Field(None, ge=1)  # rows of a generator's batch in memory at once; None: all of them
    mini_batch_size: int = Field(32, ge=1)  # texts of an embedder's batch in memory at once (GradCache)
    gradient_checkpointing: bool = True  # every training: much less memory for about a third more time (E5 §4.2)
    checkpoint_s: float = Field(600, ge=0)  # between checkpoints of a training. Assumption: ten minutes
    server_start_s: float = Field(1800, gt=0)  # until it must be ready. Assumption: half an hour to load 8B weights


Knobs = dict[str, dict[str, float]]


class Recipe(Section):
    """One run of the pipeline, from topics to scaling law."""

    name: str
    license: str = "other"  # of what is published; a teacher's terms may bind it
    offline: bool = False  # bring the scripted teacher, the tiny base model, its topics and its benchmark along
    rng_seed: int = 42  # Assumption: neither paper sets one
    languages: dict[str, float] = {"English": 1.0}  # SPEED is English in practice
    mixture: dict[str, float] = {  # SPEED §4.1: 7 : 7 : 7 : 2, matching split evenly (Table 6)
        "retrieval": 7,
        "classification": 7,
        "sts": 7,
        "short_matching": 1,
        "long_matching": 1,
    }
    checks: Checks = "all"  # form: an answer that can be read, with every field, and that repeats neither the prompt
    # nor another row, is used, as in SPEED and E5; what the other checks say stands in the column `flaw`
    teacher: Teacher = Teacher()
    generator: Generator = Generator()
    brainstorm: Brainstorm = Brainstorm()
    seed: Seed = Seed()
    junior: Junior = Junior()
    root: Root = Root()
    preference: Preference = Preference()
    senior: Senior = Senior()
    revision: RevisionSignals = RevisionSignals()
    revisor: Revisor = Revisor()
    synthesize: Synthesize = Synthesize()
    revise: Revise = Revise()
    corpus: Corpus = Corpus()
    questions: Questions = Questions()
    filter: Filter = Filter()
    mine: Mine = Mine()
    relabel: Relabel = Relabel()
    embedder: Embedder = Embedder()
    evaluate: Evaluate = Evaluate()
    decontaminate: Decontaminate = Decontaminate()
    audit: Audit = Audit()
    scaling: Scaling = Scaling()
    retrieval: Knobs = {}
    classification: Knobs = {}
    sts: Knobs = {}
    short_matching: Knobs = {}
    long_matching: Knobs = {}
    bitext: Knobs = {}
    runtime: Runtime = Runtime()
    budget: BudgetCaps = BudgetCaps()
    _given: str = PrivateAttr("")

    def model_post_init(self, context: Any) -> None:
        """Keep what the loader knows about the recipe's origin."""
        self._given = (context or {}).get("given", "")

    @property
    def given(self) -> str:
        """What loads this recipe again: the name of a recipe of the package, or the path of a file."""
        return self._given or self.name

    @property
    def test_sets(self) -> tuple[str, ...]:
        """What training rows are checked against."""
        given = self.decontaminate.against
        return self.evaluate.benchmarks if given is None else given

    @property
    def effective_budget(self) -> BudgetCaps:
        """The budget at the prices that apply: list price online, half in batch mode."""
        return self.budget.in_batches() if self.runtime.mode == "batch" else self.budget

    def knobs(self, task_type: str) -> Knobs:
        """The knob values this recipe sets for a task type."""
        knobs: Knobs = getattr(self, task_type)
        return knobs

    @field_validator(*TASK_TYPES, mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        """A knob is a list (all alike) or a mapping value → weight."""
        if not isinstance(value, dict):
            return value
        return {knob: _as_weights(choices) for knob, choices in value.items()}

    @field_validator("languages", mode="before")
    @classmethod
    def _others(cls, value: Any) -> Any:
        """`others` shares its weight among all languages that are not named."""
        if isinstance(value, dict) and "others" in value:
            if not isinstance(value["others"], int | float):
                raise ValueError("others must be a number")
            rest = [name for name in SCRIPTS if name not in value]
            named = {name: weight for name, weight in value.items() if name != "others"}
            return named | dict.fromkeys(rest, value["others"] / len(rest))
        return value

    @model_validator(mode="after")
    def _names(self) -> "Recipe":
        named: list[tuple[str, list[str], list[str]]] = [
            ("mixture", list(self.mixture), list(TASK_TYPES)),
            ("languages", list(self.languages), list(SCRIPTS)),
            *((name, list(self.knobs(name)), list(task_type.knobs)) for name, task_type in TASK_TYPES.items()),
        ]
        for field, given, known in named:
            for name in given:
                if name not in known:
                    raise ValueError(_unknown(field, name, known))
        weights = {"mixture": self.mixture, "languages": self.languages} | {
            f"{name}.{knob}": values for name in TASK_TYPES for knob, values in self.knobs(name).items()
        }
        for field, values in weights.items():
            if not values or not all(0 < weight < math.inf for weight in values.values()):
                raise ValueError(f"{field}: at least one value, and every weight above 0")
        for name, task_type in TASK_TYPES.items():
            for knob, values in self.knobs(name).items():
                _try_values(task_type, knob, list(values))
        if "bitext" in self.mixture and len(self.languages) < 2:
            raise ValueError("mixture: bitext needs at least two languages")
        for field, rows in {"preference": self.preference.rows, "revision": self.revision.rows}.items():
            if rows and rows > self.root.rows:
                raise ValueError(
                    f"{field}.rows: {rows:,} is more than root.rows, which is {self.root.rows:,}: every signal comes"
                    " from a root row of its own"
                )
        if self.runtime.server == "vllm run-batch" and self.generator.prompt_format != CHAT:
            raise ValueError("runtime.server: vllm run-batch answers chats alone: set generator.prompt_format to chat")
        return self


def _as_weights(choices: Any) -> dict[str, Any]:
    """A mapping value → weight; of a list, or of a single value, all weigh alike."""
    if isinstance(choices, dict):
        return {str(choice): weight for choice, weight in choices.items()}
    return {str(choice): 1.0 for choice in (choices if isinstance(choices, list) else [choices])}


def _try_values(task_type: TaskType, knob: str, values: list[str]) -> None:
    """Raise ValueError when the task type's check cannot work with a value (a text that gives no length)."""
    example = task_type.answer.model_validate(task_type.example)
    try:
        for value in values:
            task_type.check(example, {**task_type.example_knobs, knob: value})
    except ValueError as error:
        raise ValueError(f"{task_type.name}.{knob}: {error}") from error


def _unknown(where: str, name: str, known: list[str]) -> str:
    near = did_you_mean(name, known)
    names = f"the {len(known)} known names" if near and len(known) > 20 else ", ".join(known)
    return f"{where}: {name} is not one of {names}{'; ' if near else ''}{near}"
