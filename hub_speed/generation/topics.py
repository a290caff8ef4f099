r"""Topics: paths from broad to narrow, like those of the Open Directory that SPEED samples (§3.2.1).

A topic file is text (`.txt`, `.txt.gz`) with one path a line, parts separated by "/":
`Science/Chemistry/Elements/Iron`; or parquet with a column `topic`. A "/" that belongs to a name is written "\/":
`Computers/Networks/TCP\/IP`. The package's own is composed by `scripts/make_topics.py`.
"""

import gzip
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hub_speed.errors import RecipeError, StageError
from hub_speed.parquet import ROWS_AT_ONCE, is_text
from hub_speed.recipe import Recipe
from hub_speed.task_types import TASK_TYPES

GOLDEN = (math.sqrt(5) - 1) / 2  # steps of this share of a list fall into no rhythm with what is in it
_BETWEEN = re.compile(r"(?<!\\)/")
"""What separates parts; a slash after a backslash belongs to a name."""
FIX = "name another dataset in brainstorm.topics, or a text file with one topic a line"


def parts_of(path: str) -> list[str]:
    """The parts of a topic path, from broad to narrow, as they stand in it."""
    return [part.strip() for part in _BETWEEN.split(path) if part.strip()]


def path_of(names: Iterable[str]) -> str:
    """The topic path of names, from broad to narrow, in which there may be slashes."""
    return "/".join(name.strip().replace("/", "\\/") for name in names if name.strip())


def truncate(path: str, max_depth: int) -> str:
    """A topic path of at most `max_depth` parts: the head and the tail are kept, the middle goes.

    Source: SPEED §4.3.2 (depth 4) and the example of App. D.1, which keeps the first two and the last two parts.
    """
    parts = parts_of(path)
    if len(parts) > max_depth:
        head = (max_depth + 1) // 2
        parts = parts[:head] + parts[len(parts) - (max_depth - head) :]
    return "/".join(parts)


def distinct(paths: Iterable[str], max_depth: int) -> list[str]:
    """The different topics that are left when each path is truncated, in order."""
    return list(dict.fromkeys(truncate(path, max_depth) for path in paths))


def per_type(recipe: Recipe, topics: int) -> dict[str, int]:
    """Task type → the number of topics for which it gets tasks, of all there are.

    Types with a fixed task get all, as they take no call. `brainstorm.max_topics` holds for the type with the most
    rows; the others get their share of it, so that every type has about as many rows per task.
    """
    most, found = recipe.brainstorm.max_topics, dict.fromkeys(recipe.mixture, topics)
    asked = {name: weight for name, weight in recipe.mixture.items() if TASK_TYPES[name].brainstorm}
    if most is None or not asked:
        return found
    heaviest = max(asked.values())
    return found | {name: min(topics, math.ceil(most * weight / heaviest)) for name, weight in asked.items()}


def choose(recipe: Recipe, topics: list[str]) -> dict[str, set[int]]:
    """Task type → which of the topics it gets tasks for, by their numbers."""
    order = _spread(topics)
    return {name: set(order[:count]) for name, count in per_type(recipe, len(topics)).items()}


def _spread(topics: list[str]) -> list[int]:
    """The topics' numbers, so that the first few are spread over the whole tree, and the first more hold these.

    The sorted paths are walked through in steps of the golden ratio, as in quasi-random sampling.
    """
    ranked, count = sorted(range(len(topics)), key=topics.__getitem__), len(topics)
    step = round(count * GOLDEN)
    while math.gcd(step, count) > 1:  # else some would never be reached
        step += 1
    return [ranked[i * step % count] for i in range(count)]


def spoken(path: str) -> str:
    """A topic path as it stands in a prompt: "World/Countries/New_Zealand" → "World > Countries > New Zealand"."""
    return _BETWEEN.sub(" > ", path.replace("_", " ")).replace("\\/", "/")


def read_file(path: Path) -> list[str]:
    """The topics of a file; of a text in UTF-8, one a line, without lines that have no part or start with #.

    A line ends with a line feed alone: other characters that Unicode calls line breaks may stand inside a topic.

    Raises:
        RecipeError: the file cannot be read or has no topic.
        StageError: a parquet file has no column `topic` of texts.
    """
    if path.suffix == ".parquet" and path.is_file():
        return _read_parquet([path], str(path))
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"brainstorm.topics: {path} cannot be read",
            expected="text in UTF-8",
            got=str(error),
            fix="save the file as UTF-8",
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise RecipeError(f"brainstorm.topics: {path} cannot be read", got=str(error)) from error
    lines = (line.strip() for line in re.split(r"[\r\n]", text))
    topics = [line for line in lines if parts_of(line) and not line.startswith("#")]
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
    paths = sorted(folder.rglob("*.parquet"))
    if not paths:
        raise StageError(f"topics {name}: there is no parquet file", expected="a dataset as parquet files", fix=FIX)
    return _read_parquet(paths, name, folder)


def _read_parquet(paths: list[Path], name: str, folder: Path | None = None) -> list[str]:
    """The column `topic` of parquet files; with a folder, messages say which of its files it is."""
    topics: list[str] = []
    for path in paths:
        where = f"topics {name}" + (f", {path.relative_to(folder)}" if folder else "")
        with _damage_told(where):
            columns = pq.read_schema(path)
        if "topic" not in columns.names or not is_text(columns.field("topic").type):
            raise StageError(
                f"{where}: no column topic of texts",
                expected="a topic path in each row of the column topic",
                got=", ".join(f"{field.name} ({field.type})" for field in columns),
                fix=FIX,
            )
        with _damage_told(where):
            for batch in pq.ParquetFile(path).iter_batches(ROWS_AT_ONCE, columns=["topic"]):
                topics += filter(parts_of, filter(None, batch["topic"].to_pylist()))
    if not topics:
        raise StageError(f"topics {name}: every row is empty", expected="a topic path in the column topic", fix=FIX)
    return topics


@contextmanager
def _damage_told(where: str) -> Iterator[None]:
    """Says of a damaged parquet file which one it is."""
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StageError(f"{where}: cannot be read as parquet", got=str(error), fix=FIX) from error
