"""The rows: the teacher, what it is asked for, drafts, revisions, and what is checked of them."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hub_speed.mix import Mix, as_mix, heaviest, one_or_mix
from hub_speed.recipe.base import Section, unknown

GENERATORS = ("senior", "junior", "base")
"""The models that can write drafts."""


TOPIC_FILES = (".txt", ".txt.gz", ".parquet")
"""How the name of a topic file ends; every other name is that of a dataset on the Hub."""


Match = Literal["exact", "normalised", "contained", "near"]
"""How a test text stands in a row: as it is; but for case and marks; in a longer text; with a few words changed."""


Checks = Literal["form", "all"]
"""What an answer is rejected for: its form alone, or its content as well."""


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


class RevisionSignals(Section):
    """The teacher's revisions of root data."""

    rows: int | None = Field(None, ge=1)  # accepted revisions; None: what all of root gives
    candidate: Literal["drawn", "best"] = "drawn"  # which of a prompt's. Assumption: not stated; SPEED Fig. 6 revises
    # the one that is judged best in Fig. 5
    may_keep: bool = False  # whether teacher and revisor may repeat a draft without a flaw; SPEED's always improve
    # (App. C.2). The audit always asks so, as it counts the rows that are left alone


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
                raise ValueError(unknown("generator", name, list(GENERATORS)))
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
