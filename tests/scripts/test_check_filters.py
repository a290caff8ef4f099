"""The filters of questions on planted cases: the table in the documentation is what the script prints."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SPEC = importlib.util.spec_from_file_location("check_questions", ROOT / "scripts" / "check_questions.py")
assert SPEC and SPEC.loader
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


def test_the_documentation_has_what_is_measured() -> None:
    assert script.table() in (ROOT / "docs" / "questions.md").read_text("utf-8")


def test_what_the_patterns_were_written_for_is_found_and_nothing_else() -> None:
    for part in ("tuned", "fresh"):
        bad, good = script.sources(part)
        assert not any(good)
        assert sum(bad) >= {"tuned": 1.0, "fresh": 0.6}[part] * len(bad)
