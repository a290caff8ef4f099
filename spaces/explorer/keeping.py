"""The rows a visitor keeps: as files to download, or as a dataset of the visitor's own. They are in the page alone."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from published import Json

from hub_speed.errors import HubSpeedError
from hub_speed.hub import Hub

COLUMNS = ("task_type", "query", "positive", "negative", "instruction", "topic", "written_by")
MAX_KEPT = 200  # rows of one visitor. Assumption: what a person reads
MAX_CELL_CHARS = 8000  # Assumption: the longest document a prompt asks for has some 4,000

CARD = """---
tags: [synthetic, embeddings, hub-speed]
task_categories: [feature-extraction, sentence-similarity]
size_categories: [n<1K]
annotations_creators: [machine-generated]
---
# Rows kept in the SPEED explorer

Each row is a query, a text it should find and, where there is one, a text it should not find; `instruction` goes
before the query. The rows were written and revised by models, chosen by a person, and may have been edited by hand.
The column `written_by` names the models; their licences, and the terms of an endpoint, may bind the use of the rows.

```python
from datasets import load_dataset

rows = load_dataset("{repo}", split="train")
```
"""


def row_of(flow: Json) -> list[str]:
    """The row at the end of a flow, as a line of the table; empty where there is none."""
    row = flow.get("revised", {}).get("row") or flow.get("draft", {}).get("row")
    if not row:
        return []
    texts = [row["query"], row["positive"], row["negative"] or ""]
    return [flow["task_type"], *texts, flow["task"], flow["topic"], flow["written_by"]]


def checked(rows: Sequence[Sequence[Any]]) -> list[Json]:
    """The lines of the table as rows, as a visitor may have edited them; empty lines are left out.

    Raises:
        HubSpeedError: there is none, there are too many, or a text is too long.
    """
    found = [dict(zip(COLUMNS, map(_text, row), strict=True)) for row in rows if any(map(_text, row))]
    if not found:
        raise HubSpeedError("No rows are kept yet", fix="write a row and press Keep")
    longest = max(len(text) for row in found for text in row.values())
    if len(found) > MAX_KEPT or longest > MAX_CELL_CHARS:
        limits = f"at most {MAX_KEPT} rows, and {MAX_CELL_CHARS:,} characters a cell"
        raise HubSpeedError("The kept rows are too large", expected=limits, fix="take some rows out, or cut them")
    return [row | {"negative": row["negative"] or None} for row in found]


def _text(cell: Any) -> str:
    return cell.strip() if isinstance(cell, str) else ""


def as_jsonl(rows: list[Json]) -> bytes:
    """The rows as JSON, one a line."""
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def as_parquet(rows: list[Json]) -> bytes:
    """The rows as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in COLUMNS])), buffer)
    return buffer.getvalue()


def push(endpoint: str, token: str, repo: str, rows: list[Json], *, private: bool) -> Json:
    """Add the rows to a dataset of the visitor's, which is created with a card when it is not there.

    Args:
        endpoint: the Hub.
        token: the visitor's; it is used here and kept nowhere.
        repo: its name, with or without an owner.
        rows: what is added, as a file of its own; nothing else of the dataset is touched.
        private: whether a new dataset is private.

    Raises:
        HubSpeedError: the token is missing, or the Hub does not take the rows.
    """
    if not token:
        raise HubSpeedError("A login is needed to push", fix="sign in, or paste a token that may write")
    if not repo.strip():
        raise HubSpeedError("The dataset has no name", expected="name, or owner/name", fix="write one")
    name = f"data/kept-{datetime.now(UTC):%Y%m%dT%H%M%S}.parquet"
    hub = Hub(endpoint, private=private, token=token)
    ref = hub.add("dataset", repo.strip(), {name: as_parquet(rows)}, card=CARD, message=f"Add {len(rows)} rows")
    return {"count": len(rows), "repo": ref.repo, "url": f"{endpoint}/datasets/{ref.repo}"}
