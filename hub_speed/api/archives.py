"""Keep the embedded Hub in order, and bring a whole organisation to a folder or to another Hub, and back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hub_speed.api.hubs import made_home, open_hub, user_token
from hub_speed.api.sessions import check_org
from hub_speed.errors import HubError, RecipeError

if TYPE_CHECKING:
    from hub_speed.hub import Hub, Version
    from hub_speed.localhub.archive import Report as Report
    from hub_speed.localhub.maintenance import Checked as Checked
    from hub_speed.localhub.maintenance import Freed as Freed
    from hub_speed.localhub.store import Store
    from hub_speed.record import Kind


@contextmanager
def _store(home: Path | None) -> Iterator["Store"]:
    """The store of the embedded Hub; what it refuses is an error of the Hub."""
    from hub_speed.localhub.errors import HttpRefusal
    from hub_speed.localhub.store import Store

    store = None
    try:
        store = Store(made_home(home) / "hub")
        yield store
    except HttpRefusal as error:
        raise HubError(f"embedded Hub: {error.message}") from error
    finally:
        if store is not None:
            store.close()


def collect_garbage(*, unused_hours: float = 24, dry_run: bool = False, home: Path | None = None) -> "Freed":
    """Remove large files of the embedded Hub that no commit has, and commits that no ref leads to.

    Args:
        unused_hours: only those that were not written or asked for in the last hours: an upload may still need them.
        dry_run: only count.
        home: folder of this program; `default_home()` when left out.
    """
    from hub_speed.localhub import maintenance

    with _store(home) as store:
        return maintenance.gc(store, unused_s=unused_hours * 3600, dry_run=dry_run)


def check_hub(home: Path | None = None) -> Iterator["Checked"]:
    """Check every reference, object and large file of the embedded Hub, repository by repository."""
    from hub_speed.localhub import maintenance

    with _store(home) as store:
        yield from maintenance.fsck(store)


def export_org(
    org: str, where: str, *, name: str | None = None, private: bool | None = None, home: Path | None = None
) -> Iterator["Report"]:
    """Bring an organisation of the embedded Hub to a folder or to another Hub; what is there already stays.

    What is missing or damaged in the folder is copied again. Damaged repositories are left out and named at the end.

    Args:
        org: the organisation.
        where: a folder, or the address of a Hub.
        name: what the organisation is called on the other Hub.
        private: whether repositories are created as private ones there; private ones always are. None: as the
            organisation creates them.
        home: folder of this program; `default_home()` when left out.

    Returns:
        What was done: (kind, name, words), repository by repository.
    """
    if name is not None:
        check_org(name, "--as")
    if _is_address(where):
        with open_hub(home=home) as here:
            from hub_speed.hub import Hub

            there = partial(Hub, where.rstrip("/"), token=user_token() or False)
            yield from _mirror(here.hub, lambda hidden: there(private=hidden or private), org, name or org)
        return
    if name is not None:
        raise RecipeError(
            f"--as {name}", expected="the address of a Hub: a folder keeps the names, hub import changes them"
        )
    from hub_speed.localhub import archive

    with _store(home) as store:
        yield from archive.export(store, org, Path(where).expanduser())


def import_org(
    org: str, where: str, *, name: str | None = None, private: bool | None = None, home: Path | None = None
) -> Iterator["Report"]:
    """Bring an organisation from a folder or another Hub to the embedded Hub; what is here already stays.

    What is missing or damaged here is copied again from a folder.
    The arguments and the result are those of `export_org`; `name` is what the organisation is called here.
    """
    if name is not None:
        check_org(name, "--as")
    if _is_address(where):
        with open_hub(home=home) as here:
            from hub_speed.hub import Hub

            there = Hub(where.rstrip("/"), token=user_token() or False)
            opened = partial(Hub, here.endpoint)
            yield from _mirror(there, lambda hidden: opened(private=hidden or private), org, name or org)
        return
    from hub_speed.localhub import archive

    with _store(home) as store:
        yield from archive.import_(store, org, Path(where).expanduser(), name or org)


def _is_address(where: str) -> bool:
    return where.startswith(("http://", "https://"))


def _mirror(source: "Hub", target: Callable[[bool], "Hub"], org: str, name: str) -> Iterator["Report"]:
    """Publish an organisation's tagged versions and branch heads on another Hub, oldest first, through the client.

    Args:
        source: the Hub to read from.
        target: opens the Hub to write to; True for private repositories.
        org: the organisation.
        name: its name on the other Hub.

    Raises:
        HubError: there is no such organisation, or a repository over there was not written by this.
    """
    repositories = source.repositories(org)
    if not repositories:
        raise HubError(f"{org} on {source.shown}: no repositories that the token may read")
    for kind, repo, hidden in repositories:
        to = f"{name}/{repo.partition('/')[2]}"
        done = _mirror_repo(source, target(hidden), kind, repo, to)
        yield kind, to, f"{done} version{'s' * (done > 1)} copied" if done else "there already"


def _mirror_repo(source: "Hub", target: "Hub", kind: "Kind", repo: str, to: str) -> int:
    """Publish what is not over there yet, each version as one commit with its tags; returns how many were."""
    done, versions = 0, [(version, _tags(version)) for version in source.versions(kind, repo)]
    there = {tag: ref for _, tags in versions for tag in tags if (ref := target.find(kind, to, tag))}
    if not there and not target.is_new(kind, to):
        raise HubError(
            f"{kind} {to}: it is on {target.shown} and has none of the tags of {repo}",
            fix="it seems to be another repository: export under another name (--as NAME)",
        )
    for version, tags in versions:
        ref = next((there[tag] for tag in tags if tag in there), None)
        if ref is None:
            message = version.title.removesuffix(f" {tags[0]}")
            ref = target.publish(
                kind, to, source.fetch(version.ref), message=message, tag=tags[0], branch=version.branch
            )
            there[tags[0]], done = ref, done + 1
        for tag in tags:
            if tag not in there:
                target.tag(ref, tag)
    return done


def _tags(version: "Version") -> list[str]:
    """The tags of a version; one without any gets one that tells its commit, so that it is found again."""
    return version.tags or [f"commit-{version.ref.commit[:12]}"]
