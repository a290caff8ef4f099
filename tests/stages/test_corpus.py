"""The stage `corpus`, from a folder of files to passages, whatever lies in the folder."""

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import docx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stage_run import Run, Silent

from hub_speed.cards import render
from hub_speed.documents import folder as folders
from hub_speed.errors import RecipeError, StageError, Stopped
from hub_speed.parquet import read_parquet
from hub_speed.pipeline.table import STAGES
from hub_speed.recipes.loader import load

Rows = dict[str, list[dict[str, Any]]]
STAGE = STAGES["corpus"]
PDF = b"""%PDF-1.4
1 0 obj <</Type/Catalog/Pages 2 0 R/Outlines 6 0 R>> endobj
2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj
3 0 obj <</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>> endobj
4 0 obj <</Length 87>> stream
BT /F 12 Tf 20 200 Td (Part one) Tj 0 -30 Td (What a portable document says.) Tj ET
endstream endobj
5 0 obj <</Type/Font/Subtype/Type1/BaseFont/Helvetica>> endobj
6 0 obj <</Type/Outlines/First 7 0 R/Last 7 0 R/Count 1>> endobj
7 0 obj <</Title(Part one)/Parent 6 0 R/Dest[3 0 R/Fit]>> endobj
8 0 obj <</Title(A title)>> endobj
trailer <</Root 1 0 R/Info 8 0 R>>
"""
LOCK = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%b>/U<%b>>>/ID[<00><00>]>>" % (b"a" * 64, b"b" * 64)
PAGE = (
    "<html><head><title>A page</title></head><body><nav>Home</nav><main><h1>Whales</h1><p>%s</p></main></body></html>"
)


def word_file(*, bomb: bool = False) -> bytes:
    document, out = docx.Document(), BytesIO()
    document.add_heading("Handbook", 1)
    document.add_paragraph("How a leave is asked for.")
    document.add_table(2, 2).cell(0, 0).text = "days"
    document.save(out)
    if bomb:
        with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("word/big.xml", "w") as part:
            for _ in range(600):
                part.write(b" " * 1_000_000)
    return out.getvalue()


def bare_word_file() -> bytes:
    """Without a heading and without the part that has a title, as some programs write it."""
    document, out = docx.Document(), BytesIO()
    document.add_paragraph("Boots are cleaned on Fridays.")
    rels = document.part.package.rels
    del rels[next(name for name, rel in rels.items() if rel.reltype.endswith("core-properties"))]
    document.save(out)
    return out.getvalue()


GOOD = {
    "guide.md": b"---\ntitle: The guide\n---\n# Start\n\nInstall the program first.\n",
    "deep/notes.TXT": "Grüße aus dem Café, mit Datum.".encode("cp1252"),
    "api.rst": b"API\r\n===\r\n\r\nCall it with a name.\r\n",
    "page.html": (PAGE % ("The blue whale is the largest animal of all. " * 5)).encode(),
    "paper.pdf": PDF,
    "flat.pdf": PDF.replace(b"(Part one)/Parent", b"(Elsewhere)/Parent").replace(b"What a", b"That a"),
    "leave.docx": word_file(),
    "bare.docx": bare_word_file(),
    "utf16.txt": "Zwei Bytes je Zeichen.".encode("utf-16"),
    "stray.txt": ("Ein Byte ist zu viel. " * 5).encode("utf-16") + b"x",
    "undefined.txt": ("Grüße " * 100).encode("cp1252") + b"\x81\x8d\x9d",
    "nul.md": b"one NUL \0among many other letters" + b" and more" * 10,
    "part.html": b"<p>just a paragraph</p>",
}
BAD = {
    "twin.md": (GOOD["guide.md"], "duplicate"),
    "empty.md": (b" \n***\n", "empty"),
    "header.md": (b"---\ntitle: no more than that\n---\n", "empty"),
    "blank.html": (b"<!-- nothing -->", "empty"),
    "frame.html": (b"<html><body><script>1</script></body></html>", "empty"),
    "words.html": (b"no page", "unreadable"),
    "shifted.txt": (("Ein Byte " * 50).encode("utf-16") + b"x" + ("zu viel " * 50).encode("utf-16-le"), "binary"),
    "nothing.pdf": (b"", "empty"),
    "scan.pdf": (PDF.replace(b"BT", b"% ").replace(b"(What", b"%"), "empty"),
    "locked.pdf": (PDF.replace(b"/Info 8 0 R>>", LOCK), "encrypted"),
    "locked.docx": (b"\xd0\xcf\x11\xe0" + bytes(600), "encrypted"),
    "old.docx": (b"not a zip file", "unreadable"),
    "bomb.docx": (word_file(bomb=True), "too_large"),
    "broken.pdf": (b"%PDF-1.4 and no more", "unreadable"),
    "photo.txt": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "binary"),
    "photo.png": (b"\x89PNG", "unknown_kind"),
    "Makefile": (b"all:", "unknown_kind"),
    "nested.json": (b"[" * 200_000, "unreadable"),
    "table.csv": (b"name,age\nx,1\n", "unreadable"),
}


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[Rows, Run]]:
    """Build the stage for a folder of these files; what it made, by config."""

    def build(files: dict[str, bytes], **settings: Any) -> tuple[Rows, Run]:
        for name, raw in files.items():
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        run = Run("corpus", tmp_path / "run", None, corpus={"source": str(tmp_path / "in"), **settings})
        run.record.identity.update(STAGE.identity(run.recipe, {}))
        STAGE.build(run.ctx)
        return {name: list(read_parquet(run.ctx.out / name)) for name in ("data", "documents", "skipped")}, run

    return build


def test_the_code_of_the_card_loads_the_passages_of_each_split(
    made: Callable[..., tuple[Rows, Run]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    found, run = made({f"{i}.md": f"Animal {i} eats {i * i} leaves a day.".encode() for i in range(40)})
    render.render(STAGES["corpus"], run.ctx)
    card = (run.ctx.out / "README.md").read_text("utf-8")
    code = re.sub(r', revision="[^"]*"', "", card.split("```python\n")[1].split("```")[0])
    names: dict[str, Any] = {}
    exec(code.replace(f'"{run.ctx.repo}"', repr(str(run.ctx.out))), names)
    by_split = Counter(row["split"] for row in found["data"])
    assert names["passages"].num_rows == by_split == names["documents"].num_rows and len(by_split) == 3
    assert all(f'passages["{name}"]  # {count} rows' in code for name, count in by_split.items())


def test_files_of_every_kind_become_passages_and_bad_ones_are_skipped_with_a_reason(
    made: Callable[..., tuple[Rows, Run]],
) -> None:
    found, run = made({**GOOD, **{name: raw for name, (raw, _) in BAD.items()}})
    texts = {row["source"]: row for row in found["documents"]}
    assert set(texts) == set(GOOD)
    titles = {name: row["title"] for name, row in texts.items() if row["title"]}
    pages = {"page.html": "Whales", "paper.pdf": "Part one", "leave.docx": "Handbook", "flat.pdf": "A title"}
    assert titles == {"guide.md": "The guide", "api.rst": "API"} | pages
    assert "Café" in texts["deep/notes.TXT"]["text"] and "\r" not in texts["api.rst"]["text"]
    assert "Home" not in texts["page.html"]["text"] and "# Handbook" in texts["leave.docx"]["text"]
    assert "| days |" in texts["leave.docx"]["text"] and "NUL among" in texts["nul.md"]["text"]
    assert all(texts[name]["text"].endswith("\ufffd") for name in ("stray.txt", "undefined.txt"))
    by_id = {hashlib.sha256(row["text"].encode()).hexdigest()[:16]: row for row in found["documents"]}
    assert all(row["sha256"].startswith(name) and row["id"] == name for name, row in by_id.items())
    for row in found["data"]:
        document = by_id[row["document"]]
        assert row["text"] == document["text"][row["start"] : row["end"]] and row["group"] == document["group"]
        assert row["split"] == document["split"] and row["id"] == f"{row['document']}-{row['start']}-{row['end']}"
    headings = {row["title"] for row in found["data"]}
    assert {"The guide › Start", "API", "Part one", "A title", "Handbook"} <= headings
    assert {row["source"]: row["reason"] for row in found["skipped"]} == {name: why for name, (_, why) in BAD.items()}
    assert all(row["detail"] for row in found["skipped"])
    assert any("Windows-1252" in note and "deep/notes.TXT" in note for note in run.record.notes)
    counts = run.record.measures.documents
    assert counts and (counts.documents, counts.passages) == (len(GOOD), len(found["data"]))
    assert sum(counts.skipped.values()) == len(BAD) and sum(one["groups"] for one in counts.splits.values()) == len(
        GOOD
    )
    assert "below 20" in run.record.notes[0] and run.record.accepted == len(found["data"])


def test_rows_of_tables_are_documents(made: Callable[..., tuple[Rows, Run]], tmp_path: Path) -> None:
    table = pa.table({"body": ["from parquet", None], "title": ["T", "U"], "more": [1, 2]})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in/a.parquet")
    lines = ['{"body": "one line"}', "{no json", '{"body": 7}', '{"body": "\\ud800 lone"}', "[1]"]
    found, _ = made(
        {"b.jsonl": "\n".join(lines).encode(), "c.csv": b"body;x\nfrom csv;1\n", "d.parquet": b"PAR1"}, column="body"
    )
    texts = {row["source"]: (row["title"], row["text"]) for row in found["documents"]}
    assert texts == {
        "a.parquet:1": ("T", "from parquet"),
        "b.jsonl:1": ("", "one line"),
        "b.jsonl:4": ("", "\ufffd lone"),
        "c.csv:1": ("", "from csv"),
    }
    skipped = {row["source"]: row["reason"] for row in found["skipped"]}
    assert str(tmp_path) not in str(found["skipped"])
    assert skipped == {"a.parquet:2": "empty", "d.parquet": "unreadable"} | dict.fromkeys(
        ["b.jsonl:2", "b.jsonl:3", "b.jsonl:5"], "unreadable"
    )


def test_documents_in_old_encodings_are_named_with_them_and_marked_where_it_is_doubtful(
    made: Callable[..., tuple[Rows, Run]],
) -> None:
    text, page = (
        "Ключ от подвала висит рядом с окном. Каждый год мы проверяем трубы.",
        "Лодка стоит у причала, а вёсла.",
    )
    found, run = made(
        {
            "plain.txt": text.upper().encode(),
            "old.txt": text.encode("cp1251"),
            "page.html": f"<html><body><p>{page} {page}</p></body></html>".encode("koi8-r"),
            "table.csv": f'text,title\n"{page}",Лодка\n"Ещё: {text}",Ключ\n'.encode("cp1251"),
            "short.txt": "Über Öl".encode("cp1252"),
            "leave.docx": hidden_word_file(),
        }
    )
    marks = {row["source"]: row["encoding"] for row in found["documents"]}
    assert marks.pop("short.txt").endswith(", which is doubtful")
    assert marks == {"plain.txt": None, "old.txt": "Windows-1251", "page.html": "KOI8-R", "leave.docx": None} | {
        f"table.csv:{i}": "Windows-1251" for i in (1, 2)
    }
    assert {row["text"] for row in found["documents"]} >= {text, page, f"Ещё: {text}"}
    notes = "\n".join(run.record.notes)
    assert "read as Windows-1251, since it is not UTF-8: 'old.txt', 'table.csv:1', 'table.csv:2';" in notes
    assert "read as KOI8-R" in notes and "which is doubtful, since it is not UTF-8: 'short.txt'" in notes
    assert "words that Word hides are left out (3): 'leave.docx'" in notes


def hidden_word_file() -> bytes:
    document, out = docx.Document(), BytesIO()
    document.add_paragraph("Seen by all.").add_run(" Seen by nobody.").font.hidden = True
    document.save(out)
    return out.getvalue()


def test_a_dataset_of_the_hub_is_read_by_its_default_config(tmp_path: Path) -> None:
    for name in ("data", "other"):
        (tmp_path / "hub" / name).mkdir(parents=True)
        (tmp_path / "blob" / name).mkdir(parents=True)
        (tmp_path / "blob" / name / "x").write_text(json.dumps({"text": f"text of {name}"}))
        (tmp_path / "hub" / name / "a.jsonl").symlink_to(tmp_path / "blob" / name / "x")  # as the Hub's client has it
    run = Run("corpus", tmp_path / "run", None, corpus={"source": "org/documents"})
    run.inputs["documents"] = tmp_path / "hub"
    configs = "[{config_name: other, data_files: other/*}, {config_name: default, data_files: [{path: data/*}]}]"
    for card, texts in ((f"---\nconfigs: {configs}\n---\n", ["text of data"]), ("", ["text of data", "text of other"])):
        (tmp_path / "hub/README.md").write_text(card)
        shutil.rmtree(run.ctx.out, ignore_errors=True)
        STAGE.build(run.ctx)
        assert sorted(row["text"] for row in read_parquet(run.ctx.out / "data")) == texts


def test_what_does_not_belong_to_the_folder_is_left_out(made: Callable[..., tuple[Rows, Run]], tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("not in the folder")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link.md").symlink_to(tmp_path / "secret.md")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    os.mkfifo(tmp_path / "in/pipe.md")
    found, run = made({"a.md": b"seen", ".env": b"KEY", ".git/x.md": b"old", "x/.hidden.md": b"no"})
    assert [row["text"] for row in found["data"]] == ["seen"] and found["skipped"] == []
    assert run.record.notes[-1] == "not looked at in the folder: 3 hidden and 2 links"


def test_a_corpus_without_a_document_says_why(made: Callable[..., tuple[Rows, Run]]) -> None:
    with pytest.raises(StageError, match=r"none of the documents could be used(.|\n)*unreadable 1, unknown_kind 1"):
        made({"a.csv": b"name\nx\n", "b.png": b""})


def test_a_stop_ends_the_reading(made: Callable[..., tuple[Rows, Run]]) -> None:
    _, run = made({"a.md": b"some words"})
    run.ctx.stop.set()
    with pytest.raises(Stopped):
        STAGE.build(run.ctx)


def test_files_that_change_while_they_are_read_end_the_stage(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("before")
    before, digest = folders.look(tmp_path), folders.digest(tmp_path)
    (tmp_path / "a.md").write_text("afterwards")
    with pytest.raises(StageError, match=r"files have changed(.|\n)*a\.md"):
        folders.check_unchanged(before, tmp_path, digest, folders.hashes(before.known))


def write_elsewhere(folder: Path) -> None:
    (folder / "3.md").write_text("Other words than before, and more.")


def write_in_place(folder: Path) -> None:
    about = (folder / "3.md").stat()
    (folder / "3.md").write_text("Wood 3 is cut.")
    os.utime(folder / "3.md", ns=(about.st_atime_ns, about.st_mtime_ns))


def remove(folder: Path) -> None:
    (folder / "3.md").unlink()


def add(folder: Path) -> None:
    (folder / "new.md").write_text("One more.")


@pytest.mark.parametrize("change", [write_elsewhere, write_in_place, remove, add])
@pytest.mark.parametrize("read_first", [0, 2])
def test_files_that_change_after_the_run_began_end_the_stage(
    change: Callable[[Path], None], read_first: int, tmp_path: Path
) -> None:
    """What is published must be what the fingerprint stands for, whenever a file changes and whatever its time says."""
    source = tmp_path / "in"
    source.mkdir()
    for i in range(5):
        (source / f"{i}.md").write_text(f"Pump {i} is dry.")
    run = Run("corpus", tmp_path / "run", None, corpus={"source": str(source)})
    run.record.identity.update(STAGE.identity(run.recipe, {}))
    if not read_first:
        change(source)

    class Watching(Silent):
        def advance(self, n: int) -> None:
            super().advance(n)
            if self.done == read_first:
                change(source)

    run.ctx.progress = Watching()
    with pytest.raises(StageError, match=r"files have changed(.|\n)*nothing was published"):
        STAGE.build(run.ctx)


@pytest.mark.parametrize("name", ["2.md", "2.csv"])
@pytest.mark.parametrize("change", ["away", "other words"])
def test_a_file_that_is_another_one_only_while_it_is_read_ends_the_stage(
    name: str, change: str, tmp_path: Path
) -> None:
    """Nothing in the folder shows it when all files have been read."""
    source = tmp_path / "in"
    source.mkdir()
    for each in ("1.md", name, "3.md"):
        (source / each).write_text(f"text\nPump {each} is dry.\n")
    run = Run("corpus", tmp_path / "run", None, corpus={"source": str(source)})
    run.record.identity.update(STAGE.identity(run.recipe, {}))
    about, before = (source / name).stat(), (source / name).read_text()

    class Watching(Silent):
        def advance(self, n: int) -> None:
            super().advance(n)
            if self.done == 1 and change == "away":
                (source / name).rename(tmp_path / "away")
            elif self.done == 2 and change == "away":
                (tmp_path / "away").rename(source / name)
            elif self.done < 3:
                (source / name).write_text(before.replace("dry", "wet") if self.done == 1 else before)
                os.utime(source / name, ns=(about.st_atime_ns, about.st_mtime_ns))

    run.ctx.progress = Watching()
    with pytest.raises(StageError, match=r"files have changed(.|\n)*other bytes than before"):
        STAGE.build(run.ctx)


def test_the_fingerprint_follows_names_and_bytes_but_not_the_place(tmp_path: Path) -> None:
    def identity(folder: Path) -> Any:
        return STAGE.identity(load("speed", [f"corpus.source={folder}"]), {})

    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "a.md").write_text("words")
        (folder / "b.png").write_bytes(b"1")
    assert identity(one) == identity(other)
    (other / "b.png").write_bytes(b"2")  # it is not read
    assert identity(one) == identity(other)
    (other / "a.md").write_text("WORDS")
    os.utime(other / "a.md", (1, 1))  # the clock of a file system may tick seldom
    assert identity(one) != identity(other)
    (other / "a.md").write_text("words")
    before = folders.look(other)
    (other / "b.png").rename(other / "c.png")
    (other / ".notes.md.swp").write_text("hidden")
    assert identity(one) == identity(other)
    folders.check_unchanged(before, other, folders.digest(other), folders.hashes(before.known))
    (other / "a.md").rename(other / "c.md")
    assert identity(one) != identity(other)


def test_a_source_in_which_nothing_can_be_read_is_an_error_of_the_recipe(tmp_path: Path) -> None:
    def refused(says: str) -> None:
        with pytest.raises(RecipeError, match=rf"corpus\.source .*docs.*: there is no{says}"):
            STAGE.identity(load("speed", [f"corpus.source={source}"]), {})

    source = tmp_path / "docs"
    refused(" such folder or file")
    source.mkdir()
    refused(r"thing in it that can be read(.|\n)*got +no file")
    (source / "a.xyz").write_text("words")
    (source / "empty.md").touch()
    refused(r"thing in it that can be read(.|\n)*got +a\.xyz, empty\.md")
    source /= "empty.md"
    refused("thing in it that can be read")


def test_a_source_is_a_path_beside_the_recipe_or_the_shell_or_a_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("recipes/docs", "shell/docs", "shell/org/name"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "shell")
    mine = tmp_path / "recipes/mine.yaml"

    def source(written: str, *given: str) -> str:
        mine.write_text(f"corpus: {{source: {written}}}")
        return load(str(mine), [f"corpus.source={one}" for one in given]).corpus.source

    assert source("docs") == source("./docs") == str(tmp_path / "recipes/docs")
    assert source("docs", "docs") == str(tmp_path / "shell/docs")
    assert source("org/name") == source("docs", "me/there@v1").replace("me/there@v1", "org/name") == "org/name"
    assert source("docs", "org/name") == str(tmp_path / "shell/org/name")  # it is there
    assert source("docs", "./gone") == str(tmp_path / "shell/gone")
    for address in ("http://example.org/docs", "hf://datasets/org/name"):
        with pytest.raises(RecipeError, match=rf"is an address(.|\n)*got +{address}(.|\n)*download it first"):
            source("docs", address)
