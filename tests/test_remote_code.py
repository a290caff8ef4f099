"""No code from a repository is ever run: every call that could says so, whatever a library's default is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [path for folder in ("hub_speed", "scripts", "spaces") for path in sorted((ROOT / folder).rglob("*.py"))]


def loading(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that choose a class by what a repository says: Auto classes, and SentenceTransformer with a name."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        match call.func:
            case ast.Attribute(ast.Name(name), "from_pretrained" | "from_config") if name.startswith("Auto"):
                yield call
            case ast.Name("SentenceTransformer" | "CrossEncoder") if call.args:
                yield call


def refuses(call: ast.Call) -> bool:
    """Whether a call passes `trust_remote_code=False`, itself or by the constant OWN_CODE."""
    for keyword in call.keywords:
        match keyword:
            case ast.keyword("trust_remote_code", ast.Constant(False)) | ast.keyword(None, ast.Name("OWN_CODE")):
                return True
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_of_a_repository_is_run(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert [call.lineno for call in loading(tree) if not refuses(call)] == []


def test_the_calls_are_found() -> None:
    found = [call for path in FILES for call in loading(ast.parse(path.read_text("utf-8")))]
    assert len(found) >= 10
