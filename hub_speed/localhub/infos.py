"""What clients ask about one repo (ModelInfo, DatasetInfo, SpaceInfo) or all of them: search, filters, order, pages."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from hub_speed.localhub import cards, spaces, storage, trees, weights
from hub_speed.localhub.errors import HttpRefusal, bad_request
from hub_speed.localhub.git import commit_info
from hub_speed.localhub.store import KINDS, Repo, Store, iso
from hub_speed.localhub.web import Call, Json, parse_json, route

PAGE = 1000  # repos in one answer; huggingface_hub follows the link to the next page
CONFIG_MAX = 1 << 20  # bytes of a config.json that are read. Assumption: the longest in use has 100 kB
COUNTS = ("downloads", "likes", "trendingScore")
UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


class At(NamedTuple):
    """A repo at a commit."""

    store: Store
    repo: Repo
    commit: str

    @property
    def card(self) -> dict[str, Any]:
        """The metadata of its card."""
        return cards.of_commit(self.repo.git, self.commit)[0]

    @property
    def text(self) -> str:
        """The Markdown of its card."""
        return cards.of_commit(self.repo.git, self.commit)[1]

    def files(self) -> Iterator[trees.Entry]:
        """Its files."""
        entries = trees.walk(self.repo.git, commit_info(self.repo.git, self.commit).tree)
        return (entry for entry in entries if not entry.is_dir)


def _of_card(name: str) -> Callable[[At], Any]:
    return lambda at: at.card.get(name)


def _always(value: object) -> Callable[[At], Any]:
    return lambda _: value


def _config(at: At) -> dict[str, Any] | None:
    """What the Hub shows of config.json."""
    entry = trees.find(at.repo.git, at.commit, "config.json")
    if entry is None or entry.is_dir or entry.lfs or entry.size > CONFIG_MAX:
        return None
    try:
        config = parse_json(at.repo.git.read_blob(entry.oid))
    except HttpRefusal:
        return None
    shown = ("architectures", "model_type")
    return {name: config[name] for name in shown if name in config} if isinstance(config, dict) else None


# The properties a client may ask for (`expand`), in the names of the API. Source: ExpandModelProperty_T,
# ExpandDatasetProperty_T and ExpandSpaceProperty_T of huggingface_hub 2.4.0. What cannot be here is null, 0 or empty.
ALL: dict[str, Callable[[At], Any]] = {
    "author": lambda at: at.repo.namespace,
    "cardData": lambda at: at.card,
    "createdAt": lambda at: at.repo.settings["createdAt"],
    "disabled": _always(False),
    "gated": lambda at: at.repo.settings["gated"],
    "lastModified": lambda at: iso(commit_info(at.repo.git, at.commit).time),
    "likes": _always(0),
    "private": lambda at: at.repo.private,
    "resourceGroup": _always(None),
    "sha": lambda at: at.commit,
    "siblings": lambda at: [{"rfilename": entry.path} for entry in at.files()],
    "tags": lambda at: cards.hub_tags(at.card, at.text),
    "trendingScore": _always(0),
    "usedStorage": lambda at: storage.used(at.store, at.repo.git),
}
LOADED: dict[str, Callable[[At], Any]] = {"downloads": _always(0), "downloadsAllTime": _always(0)}
PROPERTIES: dict[str, dict[str, Callable[[At], Any]]] = {
    "models": {
        **ALL,
        **LOADED,
        "baseModels": lambda at: cards.as_list(at.card.get("base_model")),
        "childrenModelCount": _always(0),
        "config": _config,
        "evalResults": _always([]),
        "gguf": _always(None),
        "inference": _always(None),
        "inferenceProviderMapping": _always([]),
        "library_name": _of_card("library_name"),
        "mask_token": _always(None),
        "model-index": _of_card("model-index"),
        "pipeline_tag": _of_card("pipeline_tag"),
        "safetensors": lambda at: weights.parameters(at.repo.git, at.store.large_files, at.commit),
        "spaces": _always([]),
        "transformersInfo": _always(None),
        "widgetData": _of_card("widget"),
    },
    "datasets": {
        **ALL,
        **LOADED,
        "citation": _always(None),
        "description": lambda at: at.text.strip()[:500],  # Assumption: about what the Hub shows of a card
        "mainSize": lambda at: sum(entry.size for entry in at.files()),
        "paperswithcode_id": _of_card("paperswithcode_id"),
    },
    "spaces": {
        **ALL,
        "datasets": lambda at: cards.as_list(at.card.get("datasets")),
        "models": lambda at: cards.as_list(at.card.get("models")),
        "region": _always(None),
        "runtime": lambda at: spaces.runtime(at.repo.settings),
        "sdk": lambda at: at.card.get("sdk", at.repo.settings["sdk"]),
        "subdomain": lambda at: at.repo.id.lower().replace("/", "-"),
    },
}
LISTED = (
    "author cardData createdAt disabled downloads gated lastModified library_name likes pipeline_tag private runtime "
    "sdk sha tags"
).split()
DETAILS = [*LISTED, "config", "model-index", "safetensors", "siblings", "usedStorage", "description"]


def _described(at: At, names: list[str]) -> dict[str, Any]:
    """The named properties of a repo, those that its kind has."""
    properties = PROPERTIES[at.repo.kind]
    ids = {"_id": at.repo.id, "id": at.repo.id, **({"modelId": at.repo.id} if at.repo.kind == "models" else {})}
    return ids | {name: properties[name](at) for name in names if name in properties}


def _expanded(call: Call, kind: str) -> list[str]:
    """The properties named in `expand`, [] when there is none.

    Raises:
        HttpRefusal: 400 for one that repos of this kind do not have.
    """
    names = call.request.query_params.getlist("expand") + call.request.query_params.getlist("expand[]")
    for name in names:
        if name not in PROPERTIES[kind]:
            raise bad_request(f'"expand" must be one of [{", ".join(sorted(PROPERTIES[kind]))}], got {name!r}')
    return names


def info(call: Call) -> dict[str, Any]:
    """GET a repo, at a revision or at main; with `blobs` the size and ids of each file."""
    repo = call.repo()
    at = At(call.hub, repo, repo.git.resolve(call.params.get("rev", "main")))
    found = _described(at, _expanded(call, repo.kind) or DETAILS)
    if call.flag("blobs"):
        found["siblings"] = [_sibling(entry) for entry in at.files()]
    return found


def _sibling(entry: trees.Entry) -> dict[str, Any]:
    item: dict[str, Any] = {"rfilename": entry.path, "size": entry.size, "blobId": entry.oid}
    if entry.lfs:
        lfs = entry.lfs
        item["lfs"] = {"sha256": lfs.sha256, "size": lfs.size, "pointerSize": lfs.pointer_size}
    return item


def list_repos(call: Call) -> Response:
    """GET all repos of a kind: filtered, in order, a page at a time; private ones with the token only."""
    kind = call.params["kind"]
    if kind not in KINDS:
        raise HttpRefusal(404, f"The local hub has no {kind!r}")
    names = _expanded(call, kind) or [*LISTED, *(["siblings"] if call.flag("full") else [])]
    visible = call.hub.visible(kind, private=call.user is not None)
    found = [At(call.hub, *item) for item in visible if not item[0].private or call.caller.may(item[0].namespace)]
    found = _in_order(call, [at for at in found if _is_wanted(call, at)])
    start, size = _cursor(call), min(PAGE if call.limit is None else call.limit, PAGE)
    answer = Json([_described(at, names) for at in found[start : start + size]])
    if 0 < size < len(found) - start:
        query = [item for item in call.request.query_params.multi_items() if item[0] != "cursor"]
        query.append(("cursor", str(start + size)))
        answer.headers["Link"] = f'<{call.endpoint}/api/{kind}?{urlencode(query)}>; rel="next"'
    return answer


def _cursor(call: Call) -> int:
    cursor = call.query.get("cursor", "0")
    if not re.fullmatch(r"[0-9]{1,9}", cursor, re.ASCII):
        raise bad_request(f"Invalid cursor: expected the one of a Link header, got {cursor[:20]!r}")
    return int(cursor)


def _is_wanted(call: Call, at: At) -> bool:
    """Whether a repo passes the filters of the query."""
    query, many = call.query, call.request.query_params.getlist
    author, name = at.repo.id.lower().split("/")
    words = " ".join(many("search")).lower().split()
    tags = {*many("filter"), *many("pipeline_tag")}
    return (
        query.get("author", author).lower() == author
        and all(word in f"{author}/{name}" for word in words)
        and ("gated" not in query or bool(at.repo.settings["gated"]) == call.flag("gated"))
        and not query.keys() & {"apps", "inference", "inference_provider"}  # nothing here is served by them
        and (not tags or tags <= set(cards.hub_tags(at.card, at.text)))
        and all(set(many(key)) <= set(map(str, cards.as_list(at.card.get(key)))) for key in ("datasets", "models"))
        and ("num_parameters" not in query or _has_parameters(at, query["num_parameters"]))
    )


def _has_parameters(at: At, bounds: str) -> bool:
    """Whether the number of parameters is within `min:6B,max:128B`."""
    counted = weights.parameters(at.repo.git, at.store.large_files, at.commit)
    limits = re.findall(r"(min|max):(\d{1,15}(?:\.\d{1,9})?)([KMBT]?)", bounds, re.ASCII)
    if not limits:
        raise bad_request(f"Invalid num_parameters: expected min:6B,max:128B, got {bounds[:40]!r}")
    total = counted["total"] if counted else -1
    values = {name: float(number) * UNITS[unit] for name, number, unit in limits}
    return counted is not None and values.get("min", 0) <= total <= values.get("max", total)


def _in_order(call: Call, found: list[At]) -> list[At]:
    """By name; or newest first for a time. What is counted (likes, downloads) is 0 for all."""
    key = call.query.get("sort")
    if key in ("lastModified", "createdAt"):
        return sorted(found, key=ALL[key], reverse=call.query.get("direction") != "1")
    if key not in (None, *COUNTS):
        raise bad_request(f"Invalid sort: expected createdAt, lastModified or one of {', '.join(COUNTS)}, got {key!r}")
    return found


ROUTES: list[Route] = [
    route("GET", "/api/{kind}", list_repos),
    route("GET", "/api/{kind}/{namespace}/{name}", info),
    route("GET", "/api/{kind}/{namespace}/{name}/revision/{rev}", info),
]
