"""Labelled sets beside the synthetic rows, by weight; missing hard negatives are mined (E5 App. A).

Every set is a Hub dataset at a commit; its files are already in a folder.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from datasets import (
    Dataset,
    get_dataset_config_names,
    get_dataset_split_names,
    load_dataset,
    load_dataset_builder,
)
from datasets.exceptions import DatasetGenerationError
from datasets.packaged_modules.csv.csv import Csv
from sentence_transformers import SentenceTransformer

from hub_speed.errors import StageError, did_you_mean
from hub_speed.training.embedder import pairs
from hub_speed.training.embedder.backbone import embedder, saved
from hub_speed.training.embedder.settings import EmbedderSettings, LabelledSet

Row = dict[str, Any]

PAIRS_AT_ONCE = 256
"""How many queries are compared with all documents in one matrix product."""


def read(settings: EmbedderSettings) -> tuple[list[Row], int]:
    """The rows of all labelled sets, and how many hard negatives were mined for them.

    Raises:
        StageError: a set lacks the config, split or column that the recipe names, or is empty.
    """
    rows: list[Row] = []
    mined = 0
    for source in settings.labelled:
        found = rows_of(source, settings.work / "datasets")
        mine = draw(found, source.recipe.weight, source.recipe.max_rows, settings.recipe.rng_seed)
        if not source.recipe.negative:
            mined += add_negatives(mine, settings)
        rows += mine
    return rows, mined


def rows_of(source: LabelledSet, cache: Path) -> list[Row]:
    """All rows of one set that have a query and a positive, with our columns; `cache` is filled by `datasets`.

    A cell of several texts counts by the first one: E5 trains with one positive and one negative.

    Raises:
        StageError: the set lacks the config, the split or a column, cannot be loaded, or holds no pair of texts.
    """
    recipe, folder = source.recipe, str(source.folder)
    name, config, split, kind = f"labelled data {recipe.repo}", recipe.config, recipe.split, recipe.kind
    _known(f"{name}: config", config, get_dataset_config_names(folder))
    _known(f"{name}: split", split, get_dataset_split_names(folder, config))
    found = _load(folder, config, split, cache, name)
    columns = recipe.model_dump(include={"query", "positive", "negative", "label"})
    wanted: dict[str, str] = {our: column for our, column in columns.items() if column}
    for our, column in wanted.items():
        _known(f"{name}, {split}: column of the {our}", column, found.column_names)
    rows: list[Row] = []
    for cells in pairs.of(found.select_columns(list(dict.fromkeys(wanted.values()))), wanted, f"{name}, {split}"):
        if cells["query"] and cells["positive"]:
            firsts = {our: several[0] if several else None for our, several in cells.items()}
            rows.append({"negative": None, "label": None} | firsts)
    if not rows:
        raise StageError(
            f"{name}, {split}: no row has a query and a positive",
            expected=f"texts in the columns {wanted['query']} and {wanted['positive']}",
            got=f"{len(found)} rows",
            fix="name other columns or another split in embedder.labelled",
        )
    return [
        row | {"id": f"{kind}-{i}", "task_type": kind, "instruction": recipe.instruction} for i, row in enumerate(rows)
    ]


def _known(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise StageError(
            f"{what}: there is no {name}",
            expected=f"one of {', '.join(names)}",
            fix=f"{did_you_mean(name, names)} change it in embedder.labelled".strip(),
        )


def _load(folder: str, config: str, split: str, cache: Path, name: str) -> Dataset:
    """A split of a dataset; in CSV files, `null` and `NA` stay the texts they are."""
    as_text = {"keep_default_na": False} if isinstance(load_dataset_builder(folder, config), Csv) else {}
    try:
        return load_dataset(folder, config, split=split, cache_dir=str(cache), **as_text)
    except (DatasetGenerationError, ValueError) as error:
        raise StageError(
            f"{name}, {split}: it cannot be loaded",
            got=" ".join(str(error.__cause__ or error).split())[:300],
            fix="mend the dataset, or take it out of embedder.labelled",
        ) from error


def draw(rows: list[Row], weight: float, max_rows: int | None, rng_seed: int) -> list[Row]:
    """Rows as often as `weight` says: 0.1 is a tenth of them, 2 is every one twice; then at most `max_rows`."""
    random, n = Random(rng_seed), round(weight * len(rows))
    drawn: list[Row] = []
    while len(drawn) < n:
        drawn += random.sample(rows, min(n - len(drawn), len(rows)))
    return drawn[:max_rows]


def add_negatives(rows: list[Row], settings: EmbedderSettings) -> int:
    """Give rows a hard negative: a document of the same set that a miner ranks high for the query; returns how many.

    Candidates are the ranks `mine_from` to `mine_to` among the documents of other queries and, where there are labels,
    of other labels. Those whose similarity comes within `mine_margin` (a share of the positive's) are left out, since
    they may be answers as well. A row that has no candidate stays without.
    """
    recipe, miner = settings.recipe, _miner(settings)
    random = Random(recipe.rng_seed)
    asked = list({(row["query"], row["positive"]): row["label"] for row in rows}.items())
    queries = {query: i for i, query in enumerate(dict.fromkeys(query for (query, _), _ in asked))}
    documents = {text: i for i, text in enumerate(dict.fromkeys(positive for (_, positive), _ in asked))}
    answers, alike = defaultdict[str, set[int]](set), defaultdict[Any, set[int]](set)  # by query, by label
    for row in rows:
        answers[row["query"]].add(documents[row["positive"]])
        alike[row["label"]].add(documents[row["positive"]])
    barred = {label: torch.tensor(list(found)) for label, found in alike.items() if label is not None}
    asked_QD = miner.encode_query(list(queries), convert_to_tensor=True, normalize_embeddings=True)
    found_ND = miner.encode_document(list(documents), convert_to_tensor=True, normalize_embeddings=True)
    texts, negatives = list(documents), dict[tuple[str, str], str]()
    for start in range(0, len(asked), PAIRS_AT_ONCE):
        part = asked[start : start + PAIRS_AT_ONCE]
        cosines_PN = asked_QD[[queries[query] for (query, _), _ in part]] @ found_ND.T
        for ((query, positive), label), cosines_N in zip(part, cosines_PN, strict=True):
            own = cosines_N[documents[positive]].item()
            cosines_N[list(answers[query])] = -torch.inf
            if label is not None:
                cosines_N[barred[label]] = -torch.inf
            best = cosines_N.topk(min(recipe.mine_to, len(texts)))
            ranked = list(zip(best.values.tolist(), best.indices.tolist(), strict=True))[recipe.mine_from :]
            highest = own - recipe.mine_margin * abs(own)
            if fit := [texts[i] for cosine, i in ranked if -torch.inf < cosine <= highest]:
                negatives[query, positive] = random.choice(fit)
    for row in rows:
        row["negative"] = negatives.get((row["query"], row["positive"]))
    return sum(row["negative"] is not None for row in rows)


def _miner(settings: EmbedderSettings) -> SentenceTransformer:
    """The model that ranks documents: an embedder as it was published, or a plain base model."""
    assert settings.miner is not None  # an input of the stage where a set has no negatives
    if (settings.miner / "modules.json").is_file():
        return saved(settings.miner)
    return embedder(settings.miner, settings.recipe.max_length)
