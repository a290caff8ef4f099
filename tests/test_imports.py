"""Who may import whom: arrows run one way, and heavy packages are loaded by those alone who need them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import HANG_S

import hub_speed

PACKAGE = Path(hub_speed.__file__).parent

HEAVY = ["torch", "transformers", "datasets", "gradio", "matplotlib", "sentence_transformers", "trl", "peft", "mteb"]
HEAVY += ["sklearn", "openai"]

# From the ground up: a part imports what stands in lines above its own, and itself.
FLOORS: list[set[str]] = [
    {"errors", "text", "rows", "safe_yaml", "cores", "mix", "hosts", "encodings"},
    {"parquet", "record", "tables", "hub_faults"},
    {"task_types"},
    {"recipe", "hub"},
    {"recipes", "llm", "shared"},
    {"stage"},
    {"generation"},
    {"documents"},
    {"grounded"},
    {"training"},
    {"retrieval"},
    {"evaluation"},
    {"data_quality"},
    {"cards"},
    {"stages"},
    {"pipeline"},
    {"study", "versions", "space", "engines"},
    {"api"},
    {"console"},
    {"cli"},
    {"__main__"},
]
# They stand beside the house: the embedded Hub knows nothing of it, the quickstart uses it as any user could.
BESIDE = {"localhub", "quickstart"}


def modules() -> Iterator[tuple[str, Path]]:
    """(name below the package, file) of every module that is part of it; the Space's app runs elsewhere."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").strip(".")
        if not name.startswith("spaces"):
            yield name, path


def imported(name: str, path: Path) -> set[str]:
    """Everything a module imports, anywhere in it; `from a import b` counts as a and as a.b."""
    return imported_by(ast.parse(path.read_text("utf-8")), name, path)


def imported_by(tree: ast.AST, name: str, path: Path) -> set[str]:
    """What the import statements of a syntax tree name; the module tells where relative ones start."""
    found: set[str] = set()
    package = ["hub_speed", *name.split(".")] if path.name == "__init__.py" else ["hub_speed", *name.split(".")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*filter(None, parts), *filter(None, [node.module])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


IMPORTS = {name: imported(name, path) for name, path in modules()}
OWN = {f"hub_speed.{name}" for name in IMPORTS if name}


def own(name: str) -> set[str]:
    """The modules of this package that a module imports, without the package's name."""
    return {other.removeprefix("hub_speed.") for other in IMPORTS[name] & OWN}


def at_import(name: str) -> set[str]:
    """The modules of this package that are loaded before a module is complete: imports outside of its functions."""
    path = dict(modules())[name]
    tree = ast.parse(path.read_text("utf-8"))
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = []
    found = imported_by(tree, name, path) & OWN
    packages = {other for other in found if any(inner.startswith(f"{other}.") for inner in found)}
    return {other.removeprefix("hub_speed.") for other in found - packages}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Take away modules whose imports are all gone already; what stays is in a circle, or needs one."""
    waiting = {name: at_import(name) - {name} for name in IMPORTS if name}
    while free := {name for name, needs in waiting.items() if not needs & waiting.keys()}:
        waiting = {name: needs for name, needs in waiting.items() if name not in free}
    assert waiting == {}


def test_every_part_has_its_floor() -> None:
    parts = {name.split(".")[0] for name in IMPORTS if name}
    placed = [part for floor in FLOORS for part in floor]
    assert parts == {*placed, *BESIDE}
    assert len(placed) == len(set(placed))


@pytest.mark.parametrize("name", [name for name in IMPORTS if name and name.split(".")[0] not in BESIDE])
def test_arrows_run_one_way(name: str) -> None:
    floor_of = {part: i for i, floor in enumerate(FLOORS) for part in floor}
    mine = name.split(".")[0]
    upwards = {
        other
        for other in own(name)
        if (part := other.split(".")[0]) != mine and part not in BESIDE and floor_of[part] >= floor_of[mine]
    }
    assert upwards == set()
    if mine != "api":
        assert {other for other in own(name) if other.split(".")[0] in BESIDE} == set()


def test_stages_know_neither_each_other_nor_the_hub() -> None:
    stages = [name for name in IMPORTS if name.startswith("stages.")]
    assert len(stages) == 20
    for name in stages:
        assert not {o for o in own(name) if o.startswith("stages") or o in ("hub", "pipeline", "cards.render")}, name


def test_the_embedded_hub_knows_nothing_of_the_house_but_errors_and_yaml() -> None:
    for name in IMPORTS:
        if name.startswith("localhub"):
            assert {other for other in own(name) if not other.startswith("localhub")} <= {"errors", "safe_yaml"}, name


def test_task_types_know_nothing_but_texts_and_weights() -> None:
    for name in IMPORTS:
        if name.startswith("task_types."):
            assert own(name) <= {"mix", "task_types.base", "task_types.flaws", "text"}, name


def users(*packages: str) -> set[str]:
    """The modules that import one of these packages (or something inside)."""
    return {
        name
        for name, found in IMPORTS.items()
        if any(other == package or other.startswith(f"{package}.") for other in found for package in packages)
    }


def test_only_hub_py_calls_the_hub() -> None:
    assert users("huggingface_hub") == {"hub", "hub_faults"}
    naming = {name for name, path in modules() if "HfApi" in path.read_text("utf-8")}
    assert naming == {"hub"}


def test_only_llm_opens_sockets_to_models() -> None:
    assert users("aiohttp") == {"llm.transport", "llm.embedded_server", "quickstart.teacher"}
    for server in ("llm.embedded_server", "quickstart.teacher"):  # these answer and never ask
        assert {other for other in IMPORTS[server] if other.startswith("aiohttp")} == {"aiohttp", "aiohttp.web"}
    # llm.servers asks whether a server it has started is ready; the others read the environment and ask nobody.
    assert users("urllib.request") == {"llm.servers", "llm.proxies", "hosts"}
    assert users("openai") == users("httpx2") == {"llm.batch_api"}
    assert users("requests", "httpx", "urllib3", "http.client", "websockets") == set()
    # of Ray; and a port that somebody has
    assert {name.split(".")[0] for name in users("socket")} - {"localhub", "llm"} == {"engines", "space"}


def test_only_training_search_and_the_embedded_server_load_torch() -> None:
    heavy = users("torch", "transformers", "trl", "peft", "sentence_transformers", "datasets", "mteb", "accelerate")
    others = {
        "llm.embedded_server",
        "llm.embedded_engine",
        "evaluation.benchmarks",
        "evaluation.scoring",
        "evaluation.test_texts",
        "data_quality.encoder",
    }
    assert {name for name in heavy if not name.startswith(("training.", "retrieval."))} == others
    assert "training.process.launch" not in heavy  # the one that stages import
    assert users("matplotlib") == {"cards.figures"}
    assert users("gradio") == set()


def test_nothing_is_evaluated_and_nothing_unsafe_is_loaded() -> None:
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), name
            if isinstance(node, ast.keyword) and node.arg == "shell":
                raise AssertionError(f"{name} runs a shell")
    assert users("pickle", "ast", "marshal", "shelve") == set()


def loaded(code: str) -> set[str]:
    """The top-level packages a fresh interpreter has after running some code."""
    code += "\nimport sys\nprint('\\nLOADED', *{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_the_package_itself_loads_nothing() -> None:
    assert loaded("import hub_speed") & {*HEAVY, "pydantic", "pyarrow", "numpy", "huggingface_hub"} == set()


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_the_command_line_and_its_help_load_nothing_heavy(flag: str) -> None:
    code = f"""
import sys
from hub_speed import cli
sys.argv = ["hub-speed", "{flag}"]
try:
    cli.main()
except SystemExit as end:
    assert end.code == 0
"""
    assert loaded(code) & {*HEAVY, "pyarrow", "numpy", "scipy", "aiohttp", "huggingface_hub", "starlette"} == set()


def test_the_data_side_loads_no_torch() -> None:
    names = [name for name in IMPORTS if name.startswith(("stages.", "generation.", "grounded."))] + [
        "pipeline.run",
        "generation.estimate",
        "console.run",
        "console.rows",
        "api",
        "llm.addresses",
    ]
    found = loaded("\n".join(f"import hub_speed.{name}" for name in names))
    assert found & set(HEAVY) == set()
    assert "pyarrow" in found  # the test sees what is loaded
