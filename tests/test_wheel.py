"""The wheel holds all that the program reads: recipes, card templates, the tiny base model, the Space, the types."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from running import HANG_S, Cli

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_wheel_alone_runs_the_first_stages(cli: Cli, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=HANG_S)
    with zipfile.ZipFile(next(tmp_path.glob("hub_speed-*.whl"))) as wheel:
        names = wheel.namelist()
        wheel.extractall(tmp_path / "site")
    assert "hub_speed/quickstart/tiny_base/model.safetensors" in names
    assert "hub_speed/spaces/explorer/app.py" in names
    assert "hub_speed/py.typed" in names
    assert not [name for name in names if name.startswith("tests/")]
    cli.env["PYTHONPATH"] = str(tmp_path / "site")  # goes before the checkout
    where = "import hub_speed; print(hub_speed.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=cli.cwd, env=cli.env, capture_output=True, text=True)
    assert found.stdout.startswith(str(tmp_path / "site"))
    assert "✓ seed" in cli("run", "quickstart", "--only", "seed", "--set", "seed.rows=8")
    assert "45,000 as SPEED counts them" in cli("plan", "speed", code=4)
