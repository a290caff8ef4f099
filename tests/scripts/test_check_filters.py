"""The filters on planted flaws: the table in the documentation is what the script prints."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SPEC = importlib.util.spec_from_file_location("check_filters", ROOT / "scripts" / "check_filters.py")
assert SPEC and SPEC.loader
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)

QUICK = [line for measure in script.QUICK for line in measure()]


def test_the_documentation_has_what_is_measured() -> None:
    table = (ROOT / "docs" / "trust.md").read_text("utf-8")
    assert [line.markdown() for line in QUICK if line.markdown() not in table] == []


def test_what_the_rules_were_written_for_is_found_and_nothing_else() -> None:
    measured = {line.filter: line.numbers() for line in QUICK}
    assert json.dumps(measured)
    for name, least in {"`names_source`, seen": 0.85, "`names_source`, fresh": 0.6, "orders in a passage": 1}.items():
        assert measured[name]["recall"][0] >= least
    assert all(each["false"] == 0 for name, each in measured.items() if name.endswith((", seen", ", the same passage")))
