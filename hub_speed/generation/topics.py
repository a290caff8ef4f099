"""Topics: paths from broad to narrow, like those of the Open Directory that SPEED samples (§3.2.1).

A topic file holds one path a line, parts separated by "/": `Science/Chemistry/Elements/Iron`.
"""

from pathlib import Path

from hub_speed.errors import RecipeError


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
    """The topics of a text file, one a line; empty lines and lines that start with # are skipped.

    Raises:
        RecipeError: the file cannot be read or has no topic.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"brainstorm.topics: {path} cannot be read", got=str(error)) from error
    topics = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not topics:
        raise RecipeError(f"brainstorm.topics: {path} is empty", expected="one topic path a line")
    return topics
