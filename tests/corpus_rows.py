"""Small corpora and questions about them, made where a test needs some."""

from pathlib import Path
from typing import Any

from hub_speed.parquet import write_parquet
from hub_speed.rows import PassageRow, QuestionRow

Row = dict[str, Any]


def passage(document: str, start: int, text: str, **columns: Any) -> Row:
    """A passage of a document that is a group of its own."""
    end = start + len(text)
    found = {"id": f"{document}-{start}-{end}", "document": document, "start": start, "end": end, "title": ""}
    return found | {"text": text, "group": document, "split": "train"} | columns


def question(name: str, query: str, *answers: Row, **columns: Any) -> Row:
    """A question that these passages answer."""
    first = answers[0]
    texts = {"task_type": "retrieval", "instruction": "Find it", "query": query, "positive": first["text"]}
    texts |= {"prompt": "p", "completion": "{}", "answer": "", "knobs": "{}", "generator": "g", "language": "English"}
    about = {"id": name, "split": first["split"], "group": first["group"], "kind": "single", "style": "question"}
    ids = {"positive_ids": [each["id"] for each in answers], "negative_ids": [], "negative": None}
    return about | texts | ids | columns


def folders(folder: Path, passages: list[Row], questions: list[Row]) -> dict[str, Path]:
    """Both as parquet."""
    write_parquet(passages, PassageRow, folder / "passages")
    write_parquet(questions, QuestionRow, folder / "questions")
    return {"passages": folder / "passages", "questions": folder / "questions"}


def published(folder: Path, passages: list[Row], questions: list[Row]) -> dict[str, Path]:
    """Both as the stages publish them."""
    write_parquet(passages, PassageRow, folder / "corpus" / "data")
    write_parquet(questions, QuestionRow, folder / "filter" / "data" / "retrieval")
    return {"corpus": folder / "corpus", "filter": folder / "filter"}
