"""Ask what a version comes from."""

from typing import TYPE_CHECKING

from hub_speed.api.hubs import OpenHub

if TYPE_CHECKING:
    from hub_speed.record import Ref
    from hub_speed.versions.lineage import Version


def lineage(name: str, hub: OpenHub) -> "dict[Ref, Version]":
    """What a version comes from: data, generators, bases, each at its commit; the version itself comes first.

    Args:
        name: a model or dataset of any organisation: `org/name`, `org/name@revision`, or with `models/` or `datasets/`
            before it.
        hub: where it is.

    Raises:
        HubError: there is no such version, or it has no `speed_run.json`.

    Example:
        >>> [str(ref) for ref in lineage("speed-demo/speed-seed", hub)]
        ['speed-demo/speed-seed@cd57b52', 'speed-demo/speed-tasks@130915c', 'speed-demo/quickstart-topics@bef07dd']
    """
    from hub_speed.versions import lineage as lineages

    return lineages.lineage(hub.hub, lineages.find(hub.hub, name))
