"""The YAML header of a card, as the Hub reads it, and what a card says of how its version can be made again."""

import importlib.metadata
import json
import math
import re
import shlex
from bisect import bisect
from pathlib import Path

import yaml

from hub_speed.cards import licences
from hub_speed.mix import as_mix
from hub_speed.recipe import Embedder, Recipe
from hub_speed.recipes import loader
from hub_speed.record import Json, tag_of
from hub_speed.rows import SPLITS
from hub_speed.stage import Context, Stage

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")
"""The Hub's names for how many rows a data set has (its specification of dataset cards)."""

ROUTER_POOLING = {"last": "last-token", "mean": "mean", "cls": "cls"}
"""Poolings that text-embeddings-inference offers, by our names."""

MTEB_LICENCES = frozenset(
    "mit cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0"
    " cc-by-nc-nd-4.0 odc-by apache-2.0 cc0-1.0 bsd-3-clause gemma".split()
)
"""The licences that mteb's `ModelMeta` takes by the Hub's names, of those in `licences.DUTIES`."""


MTEB_NAMES = {
    "msmarco": "MSMARCO",
    "hotpotqa": "HotpotQA",
    "fever": "FEVER",
    "miracl": "MIRACLRetrieval",
    "mrtydi": "MrTidyRetrieval",
    "naturalquestions": "NQ",
    "mtebnq": "NQ",
    "quora": "QuoraRetrieval",
    "dureader": "DuRetrieval",
    "t2ranking": "T2Retrieval",
    "banking77": "Banking77Classification",
    "nfcorpus": "NFCorpus",
    "scifact": "SciFact",
    "stsb": "STSBenchmark",
}
"""A part of a labelled set's name, without marks → mteb's task of the same data: a model trained on the one is not
scored zero-shot on the other."""


def mteb_names(embedder: Embedder) -> str:
    """The labelled sets that mteb has as tasks, as a Python set."""
    kinds = [re.sub(r"[^a-z0-9]", "", each.kind.lower()) for each in embedder.labelled]
    found = sorted({name for part, name in MTEB_NAMES.items() if any(part in kind for kind in kinds)})
    return "{" + ", ".join(map(json.dumps, found)) + "}" if found else "set()"


def project() -> str:
    """The address of this program, where its package states one (`[project.urls]`), else nothing."""
    stated = importlib.metadata.metadata("hub-speed").get_all("Project-URL") or [""]
    return str(stated[0]).partition(", ")[2]


def header(stage: Stage, ctx: Context) -> Json:
    """The fields of the header; `hub_speed` is our own: what made the version, and which models taught and judged."""
    common = _licence(ctx.record.license) | _language(stage, ctx)
    of_kind = _of_model(stage, ctx) if stage.kind == "model" else _of_dataset(stage, ctx)
    return common | of_kind | {"hub_speed": _made_by(stage, ctx)}


def _language(stage: Stage, ctx: Context) -> Json:
    """The languages of the rows, where the recipe decides them: its `languages` are part of what makes the version.

    Tasks are always asked for in English. Nobody has said which languages documents, or given tasks, are in.
    """
    if stage.name == "corpus" or (stage.name == "brainstorm" and ctx.recipe.brainstorm.tasks):
        return {}
    if stage.name == "brainstorm":
        return {"language": ["en"]}
    known = [CODES[name] for name in ctx.recipe.languages if name in CODES]
    return {"language": known or ["multilingual"]}


def _licence(name: str) -> Json:
    """The fields for a licence: the Hub refuses a card that names one it does not know."""
    if name in licences.HUB_NAMES:
        return {"license": name}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.+-]+", "-", name.lower())[:100]}


def _of_dataset(stage: Stage, ctx: Context) -> Json:
    columns = set(stage.row.model_fields) if stage.row else set()
    inputs = dict.fromkeys(_datasets(ctx, tests=not columns & {"query", "prompt"}))
    tags = ["sentence-transformers"] if "query" in columns else ["trl"] if "prompt" in columns else []
    return {
        "pretty_name": f"SPEED {stage.noun}",
        "tags": ["hub_speed", "speed", "synthetic", "embeddings", *tags],
        "task_categories": _task_categories(columns),
        "size_categories": [size_category(ctx.record.accepted)],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "source_datasets": [*inputs] or ["original"],
        "configs": _configs(ctx),
    } | stage.metadata


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    return SIZES[bisect([10**n for n in range(3, 10)], rows)]


def _task_categories(columns: set[str]) -> list[str]:
    """What the rows can train, or what their numbers are about."""
    if "query" in columns:
        return ["sentence-similarity", "feature-extraction", "text-retrieval"]
    return ["text-generation"] if columns & {"prompt", "task"} else ["sentence-similarity"]


def _configs(ctx: Context) -> list[Json]:
    """The parts that `load_dataset` knows by name. The default comes first and is what it gives without a name."""
    out = ctx.out
    configs: list[Json] = [{"config_name": "default", "data_files": _files(out, "data", "**/"), "default": True}]
    types = [task_type for task_type, count in ctx.record.by_task_type.items() if count]
    configs += [{"config_name": name, "data_files": _files(out, f"data/{name}")} for name in types]
    named = ("documents", "skipped", "items", "questions", "ledger")
    folders = [name for name in named if (ctx.out / name).is_dir()]
    return configs + [{"config_name": name, "data_files": _files(out, name)} for name in folders]


def _files(out: Path, folder: str, below: str = "") -> str | list[Json]:
    """The pattern of a folder's parquet files; where they are of several splits, one for each."""
    found = {path.name.rpartition("-")[0] for path in (out / folder).rglob("*.parquet")}
    if found <= {"train"}:
        return f"{folder}/{below}*.parquet"
    return [{"split": split, "path": f"{folder}/{below}{split}-*.parquet"} for split in SPLITS if split in found]


def _of_model(stage: Stage, ctx: Context) -> Json:
    base = ctx.refs.get("base") or ctx.refs["junior"]
    training = ctx.record.measures.training
    served = training is not None and training.pooling in ROUTER_POOLING
    tags = ["feature-extraction", *(["text-embeddings-inference"] if served else [])]
    kind = {"library_name": "transformers", "pipeline_tag": "text-generation"} | stage.metadata
    return kind | {
        "tags": ["hub_speed", "speed", "synthetic", *(tags if stage.name == "embedder" else ["trl"])],
        "base_model": base.repo,
        "base_model_relation": "finetune",
        "datasets": _datasets(ctx, tests=False),
    }


def _datasets(ctx: Context, *, tests: bool) -> list[str]:
    """The datasets among the inputs; test sets only where the numbers of the version come from them."""
    names = [name for name in ctx.refs if tests or not name.startswith("benchmark ")]
    return [ctx.refs[name].repo for name in names if ctx.refs[name].kind == "dataset"]


def _made_by(stage: Stage, ctx: Context) -> Json:
    """The stage, the run, and the models that were asked on the way to this version."""
    stages, recipe = {stage.name, *(node.stage for node in ctx.record.lineage.values())}, ctx.recipe
    made: Json = {"stage": stage.name, "recipe": recipe.name, "run": tag_of(ctx.record.fingerprint)}
    if stages != {"corpus"}:  # nobody was asked for the passages of documents
        made["teacher"] = [*map(without_paths, as_mix(recipe.teacher.model))]
    if stages & {"preference", "audit"}:
        by_embedder = recipe.preference.signal == "retrieval" and "audit" not in stages
        made["judge"] = (
            [ctx.refs["embedder"].repo] if by_embedder and "embedder" in ctx.refs else [recipe.teacher.judge]
        )
    if "synthesize" in stages:
        made["generators"] = [*as_mix(recipe.synthesize.generator)]
    return made | {"offline": recipe.offline}


def reproduce(recipe: Recipe) -> tuple[str, str]:
    """What `hub-speed run` is given to make the same, and the recipe file to write first; "" where it ships with us."""
    mine = _settings(recipe)
    if recipe.name not in loader.builtin() or _settings(loader.load(recipe.name)) != mine:
        mine = {"name": recipe.name} | _settings(recipe, topics=True)
        return "recipe.yaml", yaml.safe_dump(mine, sort_keys=False)
    published = "@" in recipe.brainstorm.topics  # a topic file, which a run publishes first
    flags = ["--set", f"brainstorm.topics={recipe.brainstorm.topics}"] if published else []
    return shlex.join([recipe.name, *flags]), ""


def _settings(recipe: Recipe, *, topics: bool = False) -> Json:
    """What a recipe sets beyond the defaults, without what does not decide its results."""
    found = recipe.model_dump(mode="json", exclude_defaults=True, exclude={"name", "budget"})
    kept = {"max_reject_rate"}  # a run with the default would fail where this one did not
    found["runtime"] = {name: value for name, value in found.get("runtime", {}).items() if name in kept}
    if recipe.corpus.folder:
        found["corpus"]["source"] = f"./{recipe.corpus.folder.name}"
    if not topics:
        found.get("brainstorm", {}).pop("topics", None)
    return {name: value for name, value in found.items() if value != {}}


def weights(folder: Path) -> tuple[int, int]:
    """Parameters and bytes of the weights in a folder, from the headers of its safetensors files."""
    parameters = size = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            tensors = json.loads(file.read(min(length, 100_000_000)))
        tensors.pop("__metadata__", None)
        for tensor in tensors.values():
            parameters += math.prod(tensor["shape"])
        size += path.stat().st_size
    return parameters, size


def without_paths(text: str) -> str:
    """A text without the folders of this machine: of an absolute path, only the last part is kept."""
    return re.sub(r"(?<![\w/:.…])~?(?:/[\w.@+-]+){2,}", lambda path: f"…/{path[0].rpartition('/')[2]}", text)


CODES = dict(
    pair.rsplit(":", 1)
    for pair in (
        "Afrikaans:af Albanian:sq Amharic:am Arabic:ar Armenian:hy Assamese:as Azerbaijani:az Basque:eu Belarusian:be "
        "Bengali:bn Bosnian:bs Breton:br Bulgarian:bg Burmese:my Catalan:ca Chinese:zh Croatian:hr Czech:cs Danish:da "
        "Dutch:nl English:en Esperanto:eo Estonian:et Filipino:fil Finnish:fi French:fr Galician:gl Georgian:ka "
        "German:de Greek:el Gujarati:gu Hausa:ha Hebrew:he Hindi:hi Hungarian:hu Icelandic:is Indonesian:id Irish:ga "
        "Italian:it Japanese:ja Javanese:jv Kannada:kn Kazakh:kk Khmer:km Korean:ko Kurdish:ku Kyrgyz:ky Lao:lo "
        "Latin:la Latvian:lv Lithuanian:lt Macedonian:mk Malagasy:mg Malay:ms Malayalam:ml Marathi:mr Mongolian:mn "
        "Nepali:ne Norwegian:no Oriya:or Oromo:om Pashto:ps Persian:fa Polish:pl Portuguese:pt Punjabi:pa Romanian:ro "
        "Russian:ru Sanskrit:sa Serbian:sr Sindhi:sd Sinhala:si Slovak:sk Slovenian:sl Somali:so Spanish:es "
        "Sundanese:su Swahili:sw Swedish:sv Tamil:ta Telugu:te Thai:th Turkish:tr Ukrainian:uk Urdu:ur Uyghur:ug "
        "Uzbek:uz Vietnamese:vi Welsh:cy Xhosa:xh Yiddish:yi"
    ).split()
) | {"Scottish Gaelic": "gd", "Western Frisian": "fy"}
"""Language → its code in ISO 639-1 (Filipino: ISO 639-2), as the Hub names languages."""
