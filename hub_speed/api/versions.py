"""Ask what a version comes from, and whether a release holds."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hub_speed.api.hubs import OpenHub
from hub_speed.api.sessions import check_org

if TYPE_CHECKING:
    from hub_speed.record import Ref
    from hub_speed.versions.lineage import Version
    from hub_speed.versions.verify import Finding


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


def verify(org: str, tag: str, hub: OpenHub) -> "Iterator[Finding]":
    """Read a release again, every file of it, one repository after the other, and say what holds.

    Args:
        org: organisation or user that owns the repositories.
        tag: of the release.
        hub: where it is.

    Returns:
        One finding for each thing that was checked, as soon as it is known.

    Raises:
        HubError: there is no such release, or the Hub does not answer.

    Example:
        >>> all(finding.holds is not False for finding in verify("speed-demo", "v1.0", hub))
        True
    """
    from hub_speed.versions import verify as verifying

    check_org(org)
    return verifying.verify(hub.hub, org, tag)
