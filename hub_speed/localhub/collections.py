"""Collections: named lists of repos. One JSON file each, found by the id at the end of the slug."""

import json
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.routing import Route

from hub_speed.localhub.auth import USER
from hub_speed.localhub.disk import fsync_dir, locked, make_dirs, read_json
from hub_speed.localhub.errors import HttpRefusal, bad_request, conflict
from hub_speed.localhub.store import KINDS, NAME, Store, iso
from hub_speed.localhub.web import Call, route

ITEM_TYPES = ("model", "dataset", "space", "paper", "collection", "bucket")
NOTE_MAX = 500  # characters
Collection = dict[str, Any]


def _folder(store: Store) -> Path:
    folder = store.root / "collections"
    make_dirs(folder)
    return folder


def all_collections(store: Store, *, private: bool) -> list[Collection]:
    """All collections, newest change first.

    Args:
        store: The store.
        private: Whether to include private ones.
    """
    found = [read_json(path) for path in _folder(store).glob("*.json")]
    found = [item for item in found if private or not item["private"]]
    return sorted(found, key=lambda item: item["lastUpdated"], reverse=True)


def read(call: Call) -> Collection:
    """The collection named by the path.

    Raises:
        HttpRefusal: 404, also for a private one without the token.
    """
    match = re.fullmatch(r".*-([0-9a-f]{24})", call.params["slug"])
    path = _folder(call.hub) / f"{match[1]}.json" if match else None
    if path is not None and path.exists():
        collection: Collection = read_json(path)
        owner, private = collection["owner"]["name"], collection["private"]
        if owner == call.params["namespace"] and (not private or call.caller.may(owner)):
            if call.writes:
                call.require_namespace(owner)
            return collection
    raise HttpRefusal(404, f"Collection not found: {call.params['namespace']}/{call.params['slug']}")


def _change(call: Call, change: Callable[[Collection], object]) -> Collection:
    with locked(_folder(call.hub) / "lock"):
        collection = read(call)
        change(collection)
        _write(call.hub, collection)
    return collection


def _write(store: Store, collection: Collection) -> None:
    for position, item in enumerate(collection["items"]):
        item["position"] = position
    collection["lastUpdated"] = iso(time.time())
    store.scratch.write(_folder(store) / f"{collection['_id']}.json", json.dumps(collection, indent=1).encode())


def _slug(namespace: str, title: str, collection_id: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60]
    return f"{namespace}/{words or 'collection'}-{collection_id}"


def create(call: Call) -> Collection:
    """POST: a title is used once per namespace."""
    title, namespace = call.text("title"), str(call.json.get("namespace") or USER)
    if not NAME.fullmatch(namespace):
        raise bad_request(f"Invalid namespace: {namespace!r}")
    call.require_namespace(namespace)
    with locked(_folder(call.hub) / "lock"):
        for other in all_collections(call.hub, private=True):
            if (other["owner"]["name"], other["title"]) == (namespace, title):
                error = conflict(f"Collection already exists: {other['slug']}")
                error.body["slug"] = other["slug"]  # `exists_ok=True` takes it from the 409
                raise error
        collection_id = secrets.token_hex(12)
        collection: Collection = {
            "_id": collection_id,
            "slug": _slug(namespace, title, collection_id),
            "title": title,
            "description": call.json.get("description"),
            "owner": {"name": namespace, "type": "user" if namespace == USER else "org"},
            "items": [],
            "position": 0,
            "private": call.json.get("private") is True,
            "theme": "blue",
            "upvotes": 0,
        }
        _write(call.hub, collection)
    return collection


def list_all(call: Call) -> list[Collection]:
    """GET all, by owner and by an item they hold (`models/org/name`). The client numbers them itself."""
    found = all_collections(call.hub, private=call.user is not None)
    found = [item for item in found if not item["private"] or call.caller.may(item["owner"]["name"])]
    owners = call.request.query_params.getlist("owner")
    wanted = set(call.request.query_params.getlist("item"))
    found = [
        {key: value for key, value in item.items() if key != "position"}
        for item in found
        if (not owners or item["owner"]["name"] in owners)
        and wanted <= {f"{entry['type']}s/{entry['id']}" for entry in item["items"]}
    ]
    return found[: call.limit]


def update(call: Call) -> dict[str, Any]:
    """PATCH title, description, privacy, theme, position. A new title makes a new slug; the old one still works."""
    types = {"title": str, "description": str, "private": bool, "theme": str, "position": int}
    changes = {key: value for key, value in call.json.items() if key in types}
    for key, value in changes.items():
        if not isinstance(value, types[key]):
            raise bad_request(f"Invalid {key!r}: expected {types[key].__name__}")

    def change(collection: Collection) -> None:
        collection.update(changes)
        collection["slug"] = _slug(collection["owner"]["name"], collection["title"], collection["_id"])

    return {"success": True, "data": _change(call, change)}


def delete(call: Call) -> dict[str, Any]:
    """DELETE a collection; the repos in it stay."""
    with locked(_folder(call.hub) / "lock"):
        (_folder(call.hub) / f"{read(call)['_id']}.json").unlink()
        fsync_dir(_folder(call.hub))
    return {}


def add_item(call: Call) -> Collection:
    """POST an item. Repos have to exist here; papers and the like are taken as they are."""
    item, note = call.json.get("item"), _note(call)
    if not isinstance(item, dict) or item.get("type") not in ITEM_TYPES or not isinstance(item.get("id"), str):
        raise bad_request(f"Invalid item: expected {{id, type}} with a type of {', '.join(ITEM_TYPES)}")
    if f"{item['type']}s" in KINDS:
        item["id"] = call.find(f"{item['type']}s", item["id"]).id

    def change(collection: Collection) -> None:
        if any((other["type"], other["id"]) == (item["type"], item["id"]) for other in collection["items"]):
            raise conflict(f"Item already in collection: {item['type']} {item['id']}")
        entry = {"_id": secrets.token_hex(12), "id": item["id"], "type": item["type"]}
        collection["items"].append(entry | ({"note": {"text": note}} if note else {}))

    return _change(call, change)


def update_item(call: Call) -> dict[str, Any]:
    """PATCH the note or the position of an item."""
    note, position = _note(call), call.json.get("position")
    if position is not None and (not isinstance(position, int) or position < 0):
        raise bad_request("Invalid 'position': expected a number from 0")

    def change(collection: Collection) -> None:
        entry = _find_item(call, collection)
        if note is not None:
            entry["note"] = {"text": note}
        if position is not None:
            collection["items"].remove(entry)
            collection["items"].insert(min(position, len(collection["items"])), entry)

    _change(call, change)
    return {"success": True}


def delete_item(call: Call) -> dict[str, Any]:
    """DELETE an item."""
    _change(call, lambda collection: collection["items"].remove(_find_item(call, collection)))
    return {"success": True}


def _find_item(call: Call, collection: Collection) -> dict[str, Any]:
    items: list[dict[str, Any]] = collection["items"]
    for entry in items:
        if entry["_id"] == call.params["item"]:
            return entry
    raise HttpRefusal(404, f"No such item in this collection: {call.params['item']}")


def _note(call: Call) -> str | None:
    note = call.json.get("note")
    if note is not None and (not isinstance(note, str) or len(note) > NOTE_MAX):
        raise bad_request(f"Invalid 'note': expected a text of up to {NOTE_MAX} characters")
    return note


_ONE = "/api/collections/{namespace}/{slug}"
ROUTES: list[Route] = [
    route("GET", "/api/collections", list_all),
    route("POST", "/api/collections", create),
    route("GET", _ONE, read),
    route("PATCH", _ONE, update),
    route("DELETE", _ONE, delete),
    route("POST", _ONE + "/items", add_item),
    route("PATCH", _ONE + "/items/{item}", update_item),
    route("DELETE", _ONE + "/items/{item}", delete_item),
]
