"""Spaces are kept here, not run: files, secrets, variables and the requested hardware are stored as on the Hub.

Secrets are write-only. They are in the settings file of the Space, which only the owner of the store can read.
"""

import time
from typing import Any

from starlette.routing import Route

from hub_speed.localhub.cards import SPACE_SDKS
from hub_speed.localhub.errors import HttpRefusal, bad_request
from hub_speed.localhub.store import iso
from hub_speed.localhub.web import Call, route

NOT_RUN = "The local hub keeps Spaces but does not run them: start the app yourself (python app.py)"


def new_settings(body: dict[str, Any]) -> dict[str, Any]:
    """The settings of a new Space, from the body of the create request.

    Raises:
        HttpRefusal: 400.
    """
    if body.get("sdk") not in SPACE_SDKS:
        raise bad_request(f"Invalid sdk {body.get('sdk')!r}: expected one of {', '.join(SPACE_SDKS)}")
    settings = {
        "sdk": body["sdk"],
        "stage": "STOPPED",
        "hardware": body.get("hardware", "cpu-basic"),
        "sleepTimeSeconds": body.get("sleepTimeSeconds"),
    }
    for name in ("secrets", "variables"):
        items = body.get(name) or []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise bad_request(f"Invalid {name}: expected a list of {{key, value}}")
        settings[name] = {str(item.get("key")): _item(item) for item in items}
    return settings


def copied_settings(settings: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """The settings of a copy of a Space, from those of the original and the body of the request; secrets stay behind.

    Raises:
        HttpRefusal: 400.
    """
    new = new_settings({"hardware": settings["hardware"], **body, "sdk": settings["sdk"]})
    return {**new, "variables": {**settings["variables"], **new["variables"]}}


def runtime(settings: dict[str, Any]) -> dict[str, Any]:
    """What clients parse into SpaceRuntime."""
    return {
        "stage": settings["stage"],
        "errorMessage": NOT_RUN,
        "hardware": {"current": None, "requested": settings["hardware"]},
        "gcTimeout": settings["sleepTimeSeconds"],
        "storage": None,
        "replicas": {"current": 0, "requested": 0},
    }


def get_runtime(call: Call) -> dict[str, Any]:
    """GET runtime."""
    return runtime(call.repo().settings)


def set_hardware(call: Call) -> dict[str, Any]:
    """POST hardware."""
    sleep = {key: call.json[key] for key in ("sleepTimeSeconds",) if key in call.json}
    return _set(call, hardware=call.text("flavor"), **sleep)


def set_sleep_time(call: Call) -> dict[str, Any]:
    """POST sleeptime."""
    return _set(call, sleepTimeSeconds=call.json.get("seconds"))


def pause(call: Call) -> dict[str, Any]:
    """POST pause."""
    return _set(call, stage="PAUSED")


def restart(call: Call) -> dict[str, Any]:
    """POST restart: no longer paused, but not running either."""
    return _set(call, stage="STOPPED")


def _set(call: Call, **changes: object) -> dict[str, Any]:
    return runtime(call.repo().change_settings(lambda settings: settings.update(changes)))


def get_items(call: Call) -> dict[str, Any]:
    """GET secrets or variables; secrets and their names need the token."""
    repo = call.repo()
    if call.params["items"] == "secrets":
        call.require_namespace(repo.namespace)
    return _visible(call, repo.settings)


def set_item(call: Call) -> dict[str, Any]:
    """POST a secret or variable."""
    repo, name, key = call.repo(), call.params["items"], call.text("key")
    item = _item(call.json)
    return _visible(call, repo.change_settings(lambda settings: settings[name].update({key: item})))


def delete_item(call: Call) -> dict[str, Any]:
    """DELETE a secret or variable."""
    repo, name, key = call.repo(), call.params["items"], call.text("key")
    if key not in repo.settings[name]:
        raise HttpRefusal(404, f"No such key in {name}: {key}")
    return _visible(call, repo.change_settings(lambda settings: settings[name].pop(key, None)))


def _item(body: dict[str, Any]) -> dict[str, Any]:
    value, description = body.get("value"), body.get("description")
    if not isinstance(value, str) or not (description is None or isinstance(description, str)):
        raise bad_request("Invalid item: expected strings for 'value' and 'description'")
    return {"value": value, "description": description, "updatedAt": iso(time.time())}


def _visible(call: Call, settings: dict[str, Any]) -> dict[str, Any]:
    hidden = {"value"} if call.params["items"] == "secrets" else set()
    items = settings[call.params["items"]]
    return {key: {name: field for name, field in item.items() if name not in hidden} for key, item in items.items()}


_SPACE = "/api/spaces/{namespace}/{name}"
ROUTES: list[Route] = [
    route("GET", _SPACE + "/runtime", get_runtime, kind="spaces"),
    route("POST", _SPACE + "/hardware", set_hardware, kind="spaces"),
    route("POST", _SPACE + "/sleeptime", set_sleep_time, kind="spaces"),
    route("POST", _SPACE + "/pause", pause, kind="spaces"),
    route("POST", _SPACE + "/restart", restart, kind="spaces"),
    *(
        route(method, f"{_SPACE}/{items}", handler, kind="spaces", items=items)
        for items in ("secrets", "variables")
        for method, handler in (("GET", get_items), ("POST", set_item), ("DELETE", delete_item))
    ),
]
