"""Finds, reads and checks recipe files; says what is wrong with one, and in which line."""

import os
import re
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import (
    BaseModel,
    ValidationError,
)

from hub_speed import safe_yaml
from hub_speed.errors import RecipeError, did_you_mean
from hub_speed.recipe import TOPIC_FILES, Brainstorm, Recipe

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DATASET = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@\S+)?")

Trees = list[tuple[Path, yaml.Node | None]]
"""Files with the YAML trees of these recipes: of the one that is read, and of those that it extends."""

_FIELD = re.compile(r"[a-z_]*(\.[a-z_]*)*")


def builtin() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.name[:-5] for path in _shipped().iterdir() if path.name.endswith(".yaml"))


def _shipped() -> Path:
    return Path(str(resources.files("hub_speed"))) / "recipes"


def find(name_or_path: str) -> Path:
    """The file of a recipe: a path, or the name of one that comes with the package.

    Raises:
        RecipeError: there is no such recipe.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise RecipeError(f"recipe {name_or_path}: no such file")
    if (_shipped() / f"{name_or_path}.yaml").is_file():
        return _shipped() / f"{name_or_path}.yaml"
    raise RecipeError(
        f"recipe {name_or_path}: not a recipe of the package",
        expected=f"one of {', '.join(builtin())}, or the path of a .yaml file",
        fix=did_you_mean(name_or_path, builtin()),
    )


def load(name_or_path: str, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe and apply `section.field=value` overrides.

    Raises:
        RecipeError: no such recipe, not YAML, an unknown key (with the nearest one), a value of the wrong type, or an
            `extends` that leads nowhere or back.
    """
    path = find(name_or_path)
    data, trees = _read(path, ())
    name = f"recipe {path.name}"
    written = _section(data, "corpus", name).get("source")
    for override in overrides or []:
        _apply(data, override)
    if _section(data, "corpus", name).get("source") != written:  # named on the command line: beside where it is typed
        _local(data, Path(), name)
    said = {override.partition("=")[0].strip() for override in overrides or []}
    own = [tree for file, tree in trees if file.parent != _shipped()]
    theirs = _section(data, "corpus", name).get("source") != written or _say(own, "corpus", "source")
    if theirs and "license" not in said and not _say(own, "license"):
        data.pop("license", None)  # a recipe of the package states that of its own documents
    brainstorm = _section(data, "brainstorm", name)
    # A topic file that is named lies beside the recipe; the default is the package's.
    topics = str(brainstorm.get("topics", Brainstorm().topics))
    if topics.endswith(TOPIC_FILES):
        folder = path.parent if "topics" in brainstorm else _shipped()
        data["brainstorm"] = brainstorm | {"topics": str(folder / topics)}
    try:
        return Recipe.model_validate({"name": path.stem} | data, context={"given": name_or_path})
    except ValidationError as error:
        raise _explain(error, path.name, trees) from error


def _say(trees: list[yaml.Node | None], *names: str) -> bool:
    """Whether one of some recipe files says something of a field."""
    for name in names:
        fields = [pair for tree in trees if isinstance(tree, yaml.MappingNode) for pair in tree.value]
        trees = [value for key, value in fields if key.value == name]
    return bool(trees)


def _read(path: Path, before: tuple[Path, ...]) -> tuple[dict[str, Any], Trees]:
    """What a recipe file says, on top of what the recipe says that it extends; and the trees of both files.

    `before` are the files that have led to this one by `extends`.
    """
    if path.resolve() in before:
        chain = " → ".join(each.name for each in (*before, path))
        raise RecipeError(f"recipe {before[0].name}: extends leads back to the same file", got=chain)
    try:
        text = path.read_text("utf-8")
        data = safe_yaml.load(text) or {}
        tree = yaml.compose(text, Loader=yaml.SafeLoader)  # after the bounded read: composing recurses
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"recipe {path.name}: cannot be read as YAML", got=" ".join(str(error).split())) from error
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {path.name}: not a mapping", expected="stage: {field: value}")
    _local(data, path.parent, f"recipe {path.name}")
    if "extends" not in data:
        return data, [(path, tree)]
    other = _extended(path, data.pop("extends"))
    base, trees = _read(other, (*before, path.resolve()))
    brainstorm = _section(base, "brainstorm", f"recipe {other.name}")
    topics = str(brainstorm.get("topics", ""))
    if topics.endswith(TOPIC_FILES):
        base["brainstorm"] = brainstorm | {"topics": str(other.parent.absolute() / topics)}
    return _on_top(base, data), [(path, tree), *trees]


def _extended(path: Path, given: object) -> Path:
    """The file of the recipe that another one extends: the name of one of the package, or a path beside the file."""
    if not isinstance(given, str):
        raise RecipeError(f"recipe {path.name}: extends", expected="the name or the path of one recipe")
    try:
        return find(str(path.parent / given) if given.endswith((".yaml", ".yml")) else given)
    except RecipeError as error:
        where = f"recipe {path.name}: extends {given}: {error.where.partition(': ')[2]}"
        raise RecipeError(where, expected=error.expected, fix=error.fix) from error


def _on_top(base: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """One recipe's mapping in place of another's: in sections, field by field. The name is not taken over."""
    found = {name: value for name, value in base.items() if name != "name"}
    for name, value in data.items():
        both = isinstance(value, dict | None) and isinstance(base.get(name), dict)
        found[name] = base[name] | (value or {}) if both and _is_section(name) else value
    return found


def _is_section(name: str) -> bool:
    """Whether a field of a recipe holds fields of its own; a mapping such as the mixture is one value."""
    kind = Recipe.model_fields[name].annotation if name in Recipe.model_fields else None
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _local(data: dict[str, Any], folder: Path, where: str) -> None:
    """Give `corpus.source` its whole path, unless it is the name of a dataset.

    Raises:
        RecipeError: it is the address of a page.
    """
    corpus = _section(data, "corpus", where)
    source = corpus.get("source")
    if isinstance(source, str) and source:
        if _ADDRESS.match(source):
            raise RecipeError(
                f"{where}: corpus.source is an address",
                expected="a folder or a file on this machine, or a Hub dataset, org/name",
                got=source,
                fix="download it first, or name a Hub dataset",
            )
        path = (folder / Path(source).expanduser()).absolute()
        if path.exists() or not _DATASET.fullmatch(source):
            data["corpus"] = corpus | {"source": os.path.normpath(path)}


def _apply(data: dict[str, Any], override: str) -> None:
    """Put one `section.field=value` into the recipe's mapping."""
    key, sign, value = override.partition("=")
    *sections, field = key.strip().split(".")
    # What is misplaced may be somebody's key: only what can be a field is shown.
    where = f"--set {key.strip()}{sign}{'…' if value else ''}" if _FIELD.fullmatch(key.strip()) else "--set …"
    if not sign or not field or len(sections) > 2:
        raise RecipeError(where, expected="section.field=value, for example seed.rows=100")
    for section in sections:
        data[section] = data = _section(data, section, where)
    try:
        data[field] = safe_yaml.load(value)
    except yaml.YAMLError as error:
        got = getattr(error, "problem", "") or ""
        raise RecipeError(f"{where}: the value is not YAML", got=got, fix="put it in quotes") from error


def _section(data: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """A copy of a section of a recipe's mapping, empty when it is not there."""
    section = {} if data.get(name) is None else data[name]
    if not isinstance(section, dict):
        raise RecipeError(f"{where}: {name} has no fields", expected="a mapping", got=_kind(section))
    return dict(section)


def _explain(error: ValidationError, name: str, trees: Trees) -> RecipeError:
    """The first problem pydantic found, in our words, with the line it stands in."""
    problem = error.errors(include_url=False)[0]
    loc = [str(part) for part in problem["loc"]]
    if loc[1:] and loc[-1] == "[key]":  # pydantic's mark for "the key itself"
        loc.pop()
    where, at = ".".join(loc), _place(trees, loc)
    if problem["type"] == "extra_forbidden":
        section = _model_at(loc[:-1])
        known = [f for f in section.model_fields if f != "name"]
        return RecipeError(
            f"recipe {name}: {where} is not a field of {'.'.join(loc[:-1]) or 'a recipe'}",
            expected="one of " + ", ".join(known),
            got=f"{loc[-1]}: {problem['input'] if isinstance(problem['input'], int | float | None) else '…'}{at}",
            fix=did_you_mean(loc[-1], known),
        )
    message = problem["msg"].removeprefix("Value error, ")
    if not loc:  # something about several fields; the message names the first
        return RecipeError(f"recipe {name}: {message}{_place(trees, message.partition(':')[0].split('.'))}")
    misplaced = problem["type"] == "model_type" or isinstance(problem["input"], dict)
    got = _kind(problem["input"]) if misplaced else f"{problem['input']!r:.80}"
    if problem["type"] == "value_error" and isinstance(problem["input"], dict):
        got = _named(message, problem["input"], _model_at(loc)) or got
    return RecipeError(f"recipe {name}: {where}", expected=message, got=f"{got}{at}")


def _named(message: str, given: dict[str, Any], section: type[BaseModel]) -> str:
    """The fields that a message about a section names, with what was given for them; long values are cut."""
    known = [name for name in section.model_fields if name in given and re.search(rf"\b{name}\b", message)]
    return ", ".join(f"{name}: {given[name]!r:.40}" for name in known)


def _kind(value: Any) -> str:
    """A number, or what a value is: where a section belongs, people have put their keys."""
    return repr(value) if isinstance(value, int | float) else f"a value of type {type(value).__name__}"


def _model_at(loc: list[str]) -> type[BaseModel]:
    """The model of a section, or of what a section's list holds."""
    model: type[BaseModel] = Recipe
    for part in loc:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        kinds = (annotation, *get_args(annotation))
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), model)
    return model


def _place(trees: Trees, loc: list[str]) -> str:
    """Where a key stands, as the end of a line; empty where it came from --set."""
    for i, (file, tree) in enumerate(trees):
        if line := _line(tree, loc):
            return f"  (line {line} of {file.name})" if i else f"  (line {line})"
    return ""


def _line(node: yaml.Node | None, loc: list[str]) -> int | None:
    """The 1-based line of a key in a recipe file, None where it is not there."""
    line = None
    for part in loc:
        if not isinstance(node, yaml.MappingNode):
            return line
        for key, value in node.value:
            if key.value == part:
                line, node = key.start_mark.line + 1, value
                break
        else:
            return None
    return line
