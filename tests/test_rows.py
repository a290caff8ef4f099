"""The columns of every kind of row, and the reasons of rows that are not used."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from hub_speed import rows
from hub_speed.generation import prompts

KINDS = [kind for kind in vars(rows).values() if isinstance(kind, type) and issubclass(kind, BaseModel)]
KINDS = [kind for kind in KINDS if kind.__module__ == rows.__name__]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@every_kind
def test_every_column_is_described(kind: type[BaseModel]) -> None:
    assert all(len(text) > 10 for text in rows.columns(kind).values())


def test_columns_that_other_libraries_know_have_their_names() -> None:
    assert {"prompt", "completion"} <= set(rows.columns(rows.SeedRow))
    assert {"prompt", "chosen", "rejected"} <= set(rows.columns(rows.PreferenceRow))
    assert {"prompt", "completion"} <= set(rows.columns(rows.RevisionRow))
    names = list(rows.columns(rows.SyntheticRow))
    # sentence-transformers goes by order
    assert names.index("query") < names.index("positive") < names.index("negative")


def test_a_row_is_the_same_in_every_repository_it_passes_through() -> None:
    def fields(kind: type[BaseModel]) -> set[str]:
        return set(kind.model_fields)

    assert fields(rows.TaskRow) < fields(rows.PromptRow) < fields(rows.SeedRow) <= fields(rows.DraftRow)
    assert fields(rows.SyntheticRow) - fields(rows.DraftRow) == {"draft"}
    assert fields(rows.PromptRow) < fields(rows.RootRow)


def test_reasons_are_those_the_code_gives() -> None:
    """A reason that no code gives would only be there for show; one that is not described could not be rendered."""
    package = Path(rows.__file__).parent
    code = "\n".join(path.read_text("utf-8") for path in package.rglob("*.py") if path.name != "rows.py")
    assert [reason for reason in rows.REASONS if f'"{reason}"' not in code] == []
    given_reasons = set(re.findall(r'Rejected\(\s*"(\w+)"', code)) | set(re.findall(r'return "(\w+_\w+)"', code))
    of_documents = set(re.findall(r"\w+", rows.SkippedRow.model_fields["reason"].description or ""))
    known = {*rows.REASONS, *of_documents, *vars(prompts)}
    assert {reason for reason in given_reasons if reason not in known} == set()
