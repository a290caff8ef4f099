"""What is found when labels of a release lead nowhere."""

import hashlib
from pathlib import Path

from corpus_rows import Row, passage, question

from hub_speed.parquet import write_parquet
from hub_speed.rows import BenchmarkPassageRow, DocumentRow, PassageRow, QuestionRow
from hub_speed.versions.passages import of_corpus, of_rows

TEXTS = ("Foxes are quick.\n\nDogs are lazy.", "Cats sleep.")


def document(text: str) -> Row:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    about = {"id": sha256[:16], "sha256": sha256, "source": "a.md", "title": "", "text": text}
    return about | {"group": sha256[:16], "split": "train"}


DOCUMENTS = [document(text) for text in TEXTS]
PASSAGES = [passage(one["id"], 0, one["text"][:11]) for one in DOCUMENTS]
PASSAGES.insert(1, passage(DOCUMENTS[0]["id"], 18, "Dogs are lazy."))


def corpus(folder: Path, documents: list[Row], passages: list[Row]) -> Path:
    write_parquet(documents, DocumentRow, folder / "documents")
    write_parquet(passages, PassageRow, folder / "data")
    return folder


def test_every_passage_is_the_part_of_a_document_that_it_names(tmp_path: Path) -> None:
    assert of_corpus(corpus(tmp_path / "a", DOCUMENTS, PASSAGES)) == ([], 3)
    first, second, third = PASSAGES
    odd = [first | {"split": "test"}, second | {"text": "Dogs are busy."}, third]
    problems, _ = of_corpus(corpus(tmp_path / "b", [DOCUMENTS[0], DOCUMENTS[1] | {"sha256": "0" * 64}], odd))
    assert problems == [
        "1 documents have another hash",
        "2 passages are not the part of a document that they name",
    ]
    problems, _ = of_corpus(corpus(tmp_path / "c", DOCUMENTS[:1], PASSAGES))
    assert problems == [f"passages of {DOCUMENTS[1]['id']}, which is no document, or out of order"]


def test_what_rows_say_of_passages_is_so(tmp_path: Path) -> None:
    known = {row["id"]: hashlib.sha256(row["text"].encode()).digest() for row in PASSAGES}
    row = question("q", "who", PASSAGES[0], PASSAGES[1])
    good = row | {"negative_ids": [PASSAGES[2]["id"]], "negative": PASSAGES[2]["text"]}
    write_parquet([row, good], QuestionRow, tmp_path / "data")
    assert of_rows(tmp_path, known) == ([], 2)
    write_parquet(
        [good | {"positive": "another"}, row | {"positive_ids": ["gone-0-1"]}], QuestionRow, tmp_path / "data"
    )
    of_benchmark = {"_id": PASSAGES[1]["id"], "title": "", "text": "Dogs."}
    write_parquet([of_benchmark], BenchmarkPassageRow, tmp_path / "corpus")
    lost, changed = of_rows(tmp_path, known)[0]
    assert lost == "1 ids are those of no passage: gone-0-1" and changed.startswith("2 passages have another text: ")
