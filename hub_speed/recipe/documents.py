"""Documents → passages, questions, hard negatives, and labels one can trust."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hub_speed.recipe.base import MINER, Section, Weight, as_weights

QuestionKind = Literal["single", "two_passages", "contrastive"]
"""What a question about documents is answered by: one passage, two of one document, or one but not its neighbour."""


QuestionStyle = Literal["question", "keyword", "natural", "claim", "title"]
"""How a question about documents is worded."""


class Corpus(Section):
    """The documents that questions are written for, and how they are cut."""

    source: str = ""  # yours: a folder or a file beside the recipe, or a Hub dataset, org/name or org/name@revision.
    # Assumption
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
    # the passage has as well are copied. Assumption: measured on planted cases (docs/questions.md)
    copied_share: float = Field(0.5, gt=0, le=1)  # of a question's words that may be copied. Assumption: as above

    @field_validator("kinds", "styles", "audiences", "reasoning", "difficulty", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        for choice in value if isinstance(value, dict | list) else [value]:
            if not isinstance(choice, str) or not choice.strip():
                raise ValueError(f"a text is expected in the place of {choice!r:.40}")
        return as_weights(value)

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
    # Assumption: measured on planted cases (docs/questions.md)
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
