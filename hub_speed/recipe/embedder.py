"""The embedder: labelled sets, training, merging, scores."""

from typing import Any, Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator, model_validator

from hub_speed.recipe.base import MINER, Section, check_once, unknown, usual_prompts
from hub_speed.recipe.generators import Lora
from hub_speed.text import Instructions

MINING = ("miner_prompts", "mine_from", "mine_to", "mine_margin")
"""Fields of the embedder that count only where hard negatives are mined."""


PUBLISHING = ("merge", "exports")
"""Fields of the embedder that count after a training."""


Pooling = Literal["last", "mean", "weighted_mean"]
"""How the states of a text's tokens become one vector: weighted by their place, as in SGPT (E5 Table 5), the third."""


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

    @field_validator("exports")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_once(value)
        return value

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
                raise ValueError(unknown("instructions", name, own) if own else "mteb's benchmarks have their own")
        return value


class Scaling(Section):
    """Embedders on nested subsets."""

    sizes: tuple[PositiveInt, ...] = (28_750, 57_500, 115_000, 230_000, 460_000, 920_000)  # SPEED Tables 1 and 2: 230K
    # and 920K; the other sizes, each half of the next, are Assumptions: Fig. 4 cannot be read
    rng_seeds: tuple[int, ...] = (0, 1)  # Assumption: neither paper repeats a run
