"""Topics: paths from broad to narrow, like those of the Open Directory that SPEED samples (§3.2.1).

A topic file holds one path a line, parts separated by "/": `Science/Chemistry/Elements/Iron`.
"""

import re
from pathlib import Path

import pyarrow.parquet as pq

from hub_speed.errors import RecipeError, StageError
from hub_speed.parquet import ROWS_AT_ONCE, is_text


def truncate(path: str, max_depth: int) -> str:
    """A topic path of at most `max_depth` parts: the head and the tail are kept, the middle goes.

    Source: SPEED §4.3.2 (depth 4) and the example of App. D.1, which keeps the first two and the last two parts.
    """
    parts = [part.strip() for part in path.split("/") if part.strip()]
    if len(parts) > max_depth:
        head = (max_depth + 1) // 2
        parts = parts[:head] + parts[len(parts) - (max_depth - head) :]
    return "/".join(parts)


def spoken(path: str) -> str:
    """A topic path as it stands in a prompt: "World/Countries/New_Zealand" → "World > Countries > New Zealand"."""
    return " > ".join(part.replace("_", " ") for part in path.split("/"))


def read_file(path: Path) -> list[str]:
    """The topics of a UTF-8 text file, one a line; empty lines and lines that start with # are skipped.

    A line ends with a line feed alone: other characters that Unicode calls line breaks may stand inside a topic.

    Raises:
        RecipeError: the file cannot be read or has no topic.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"brainstorm.topics: {path} cannot be read",
            expected="text in UTF-8",
            got=str(error),
            fix="save the file as UTF-8",
        ) from error
    except OSError as error:
        raise RecipeError(f"brainstorm.topics: {path} cannot be read", got=str(error)) from error
    lines = (line.strip() for line in re.split(r"[\r\n]", text))
    topics = [line for line in lines if line and not line.startswith("#")]
    if not topics:
        raise RecipeError(f"brainstorm.topics: {path} is empty", expected="one topic path a line")
    return topics


def read_set(folder: Path, name: str) -> list[str]:
    """The topics of a Hub dataset: the column `topic` of its parquet files; rows without one are skipped.

    Args:
        folder: its files.
        name: what it is called in messages.

    Raises:
        StageError: it has no parquet file, a file has no such column of texts, or there is no topic in it.
    """
    topics: list[str] = []
    fix = "name another dataset in brainstorm.topics, or a text file with one topic a line"
    paths = sorted(folder.rglob("*.parquet"))
    if not paths:
        raise StageError(f"topics {name}: there is no parquet file", expected="a dataset as parquet files", fix=fix)
    for path in paths:
        columns = pq.read_schema(path)
        if "topic" not in columns.names or not is_text(columns.field("topic").type):
            raise StageError(
                f"topics {name}, {path.relative_to(folder)}: no column topic of texts",
                expected="a topic path in each row of the column topic",
                got=", ".join(f"{field.name} ({field.type})" for field in columns),
                fix=fix,
            )
        for batch in pq.ParquetFile(path).iter_batches(ROWS_AT_ONCE, columns=["topic"]):
            topics += filter(str.strip, filter(None, batch["topic"].to_pylist()))
    if not topics:
        raise StageError(f"topics {name}: every row is empty", expected="a topic path in the column topic", fix=fix)
    return topics
