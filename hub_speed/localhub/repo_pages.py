"""The web view of one repo: card, files, rows, commits, and what changed between two versions."""

import re
from itertools import islice
from typing import Any
from urllib.parse import quote

import yaml
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hub_speed.localhub import cards, diff, markdown, trees, viewer
from hub_speed.localhub.errors import entry_not_found
from hub_speed.localhub.git import HEADS, MAIN, TAGS, commit_info
from hub_speed.localhub.pages import for_people, number, page, url_with, when
from hub_speed.localhub.store import Repo
from hub_speed.localhub.trees import Entry
from hub_speed.localhub.web import Call, route, routes_of_repos

SHOWN_COMMITS, SHOWN_FILES, SHOWN_CHANGES, PAGE_COMMITS = 20, 40, 100, 50
SHOWN_COLUMNS = 60  # of a table of rows. Assumption
EMPTY_HEAD = re.compile(r"<thead>\s*<tr>(\s*<th[^>]*></th>)+\s*</tr>\s*</thead>")
TALL = 60  # characters; a column with longer texts is made wider


def repo_page(template: str, call: Call, repo: Repo, tab: str, title: str = "", **values: Any) -> Response:
    """A page of a repo, with its tabs; they keep the revision."""
    rev = quote(call.params.get("rev") or call.query.get("revision") or "main", safe="")
    tabs = [("Card", repo.url_path), ("Files", f"{repo.url_path}/tree/{rev}")]
    if repo.kind == "datasets":
        tabs.append(("Rows", f"{repo.url_path}/viewer" + ("" if rev == "main" else f"?revision={rev}")))
    tabs += [("Commits", f"{repo.url_path}/commits/{rev}"), ("Discussions", f"{repo.url_path}/discussions")]
    return page(template, " · ".join(filter(None, (repo.id, title))), repo=repo, tabs=tabs, tab=tab, **values)


def card_page(call: Call) -> Response:
    """GET a repo: its card, files, refs and history."""
    repo = call.repo()
    git, sha = repo.git, repo.git.resolve(MAIN)
    metadata, text = cards.of_commit(git, sha)
    history = list(git.log(sha))
    files = [entry for entry in trees.walk(git, commit_info(git, sha).tree) if not entry.is_dir]
    card = markdown.render(text or "*This repo has no README.md.*", f"{repo.url_path}/resolve/{sha}")
    return repo_page(
        "repo",
        call,
        repo,
        "Card",
        sha=sha,
        when=when(history[0].time),
        card_tags=cards.as_list(metadata.get("tags")),
        card=_reachable(card),
        snippet=_snippet(repo, metadata),
        files=[_file(repo, "main", entry, entry.path) for entry in files[:SHOWN_FILES]],
        file_count=len(files),
        refs=[*reversed(git.refs(TAGS).items()), *git.refs(HEADS).items()],
        count=len(history),
        commits=[{**info._asdict(), "when": when(info.time)} for info in history[:SHOWN_COMMITS]],
        metadata={key: _value(value) for key, value in metadata.items()},
    )


def _reachable(card: str) -> str:
    """A card whose wide parts scroll on their own, also by keyboard; tables without headings have no row for them."""
    card = EMPTY_HEAD.sub("", card)
    card = card.replace("<pre>", '<pre tabindex="0">')
    return re.sub(
        r"<table>(.*?)</table>", r'<div class="scroll" tabindex="0"><table>\1</table></div>', card, flags=re.S
    )


def tree_page(call: Call) -> Response:
    """GET a folder at a revision."""
    repo, rev, path = call.repo(), call.params["rev"], call.params.get("path", "").strip("/")
    sha = repo.git.resolve(rev)
    folder = trees.find(repo.git, sha, path)
    if folder is None or not folder.is_dir:
        raise entry_not_found(path)
    entries = list(trees.walk(repo.git, folder.oid, f"{path}/" if path else "", recursive=False))
    entries.sort(key=lambda entry: not entry.is_dir)
    last = trees.last_commits(repo.git, sha, [entry.path for entry in entries])
    crumbs, url = [(rev, f"{repo.url_path}/tree/{quote(rev, safe='')}")], f"{repo.url_path}/tree/{quote(rev, safe='')}"
    for name in path.split("/") if path else []:
        url += f"/{quote(name)}"
        crumbs.append((name, url))
    return repo_page(
        "tree",
        call,
        repo,
        "Files",
        f"files at {rev}",
        sha=sha,
        crumbs=crumbs,
        commit=commit_info(repo.git, sha),
        when=when(commit_info(repo.git, sha).time),
        files=[
            {**_file(repo, rev, entry, entry.path.rpartition("/")[2]), "commit": last[entry.path].title}
            for entry in entries
        ],
    )


def _file(repo: Repo, rev: str, entry: Entry, name: str) -> dict[str, Any]:
    url = f"{repo.url_path}/{'tree' if entry.is_dir else 'resolve'}/{quote(rev, safe='')}/{quote(entry.path)}"
    return {"name": name, "url": url, "is_dir": entry.is_dir, "size": _size(entry), "commit": None}


def _size(entry: Entry | None) -> str:
    """The size of a file for people; of a folder, and of nothing, an empty text."""
    if entry is None or entry.is_dir:
        return ""
    size: float = entry.size
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _value(value: Any) -> dict[str, Any]:
    """A metadata value: short ones as text, others as YAML to unfold."""
    items = value if isinstance(value, list) else [value]
    if all(isinstance(item, str | int | float) for item in items) and len(text := ", ".join(map(str, items))) < 300:
        return {"long": False, "text": text}
    return {"long": True, "text": yaml.safe_dump(value, sort_keys=False, allow_unicode=True)}


def _snippet(repo: Repo, metadata: dict[str, Any]) -> str:
    if repo.kind == "datasets":
        return f'load_dataset("{repo.id}")'
    if repo.kind == "spaces":
        return f'snapshot_download("{repo.id}",\n                  repo_type="space")'
    library = str(metadata.get("library_name", ""))
    writes = metadata.get("pipeline_tag") == "text-generation"
    loaders = {
        "sentence-transformers": "SentenceTransformer",
        "transformers": f"AutoModel{'ForCausalLM' if writes else ''}.from_pretrained",
    }
    return f'{loaders.get(library, "snapshot_download")}("{repo.id}")'


def commits_page(call: Call) -> Response:
    """GET the commits of a revision, newest first, PAGE_COMMITS a page."""
    repo, rev = call.repo(), call.params["rev"]
    sha, tags, first = repo.git.resolve(rev), repo.git.refs(TAGS), number(call, "p") * PAGE_COMMITS
    found = list(islice(repo.git.log(sha), first, first + PAGE_COMMITS + 1))
    pager = {
        "previous": url_with(call, p=number(call, "p") - 1 or None) if first else None,
        "next": url_with(call, p=number(call, "p") + 1) if len(found) > PAGE_COMMITS else None,
        "shown": f"{first + 1}-{first + len(found[:PAGE_COMMITS])}" if found else "no more commits",
    }
    names = [rev, *reversed(tags), *repo.git.refs(HEADS)]
    return repo_page(
        "commits",
        call,
        repo,
        "Commits",
        f"commits of {rev}",
        rev=rev,
        names=list(dict.fromkeys(names)),
        before=next((name for name, oid in reversed(tags.items()) if oid != sha), rev),
        pager=pager,
        commits=[
            {
                "oid": info.oid,
                "title": info.title,
                "when": when(info.time),
                "tags": [name for name, oid in tags.items() if oid == info.oid],
            }
            for info in found[:PAGE_COMMITS]
        ],
    )


def commit_page(call: Call) -> Response:
    """GET commit/<revision>, the address that clients get for a commit: what it changed."""
    repo = call.repo()
    sha = repo.git.resolve(call.params["rev"])
    parents = commit_info(repo.git, sha).parents
    before = (parents[0][:12], parents[0]) if parents else None
    return _diff_page(call, repo, before, (sha[:12], sha))


def compare_page(call: Call) -> Response:
    """GET compare?from=…&to=…: what changed between two revisions."""
    repo = call.repo()
    names = [call.query.get(name) or "main" for name in ("from", "to")]
    old, new = ((name, repo.git.resolve(name)) for name in names)
    return _diff_page(call, repo, old, new)


def _diff_page(call: Call, repo: Repo, old: tuple[str, str] | None, new: tuple[str, str]) -> Response:
    changes = diff.files(repo.git, old and old[1], new[1])
    cards_changed = [change for change in changes if change.path == "README.md"]
    lines, note = diff.card(repo.git, cards_changed[0]) if cards_changed else ([], "")
    return repo_page(
        "diff",
        call,
        repo,
        "Commits",
        f"changes up to {new[0]}",
        old=old and _version(repo, *old),
        new=_version(repo, *new),
        files=[_changed(repo, new[1], change) for change in changes[:SHOWN_CHANGES]],
        file_count=len(changes),
        card=lines,
        card_note=note,
        rows=list(diff.rows(call.hub, repo, changes)),
    )


def _version(repo: Repo, name: str, sha: str) -> dict[str, Any]:
    info = commit_info(repo.git, sha)
    return {"name": name, **info._asdict(), "when": when(info.time)}


def _changed(repo: Repo, sha: str, change: diff.FileChange) -> dict[str, Any]:
    url = _file(repo, sha, change.after, change.path)["url"] if change.after else ""
    sizes = {"before": _size(change.before), "after": _size(change.after)}
    return {"path": change.path, "state": change.state, "url": url, **sizes}


def rows_page(call: Call) -> Response:
    """GET viewer/<config>/<split>: rows of a dataset from `from` on, those that a search finds, or one (`row`)."""
    repo, rev = call.repo(), call.query.get("revision") or "main"
    configs = viewer.configs(repo.git, repo.git.resolve(rev))
    config = call.params.get("config") or next(iter(configs), "")
    split = call.params.get("split") or next(iter(configs.get(config, {})), "")
    if configs and split not in configs.get(config, {}):
        raise entry_not_found(f"{config}/{split}")
    base, revision = f"{repo.url_path}/viewer", "" if rev == "main" else f"?revision={quote(rev, safe='')}"
    links = {name: f"{base}/{quote(name, safe='')}" for name in configs}
    query = {name: call.query.get(name, "") for name in ("column", "value", "q")}
    shown = _rows(call, repo, configs[config][split]) if configs else {"problem": "No parquet or JSON-lines files."}
    return repo_page(
        "rows",
        call,
        repo,
        "Rows",
        f"rows of {config}/{split}",
        rev=rev,
        config=config,
        split=split,
        configs=[(name, f"{url}/{quote(next(iter(configs[name])), safe='')}{revision}") for name, url in links.items()],
        splits=[(name, f"{links[config]}/{quote(name, safe='')}{revision}") for name in configs.get(config, {})],
        query=query,
        **_NOTHING | shown,
    )


_NOTHING: dict[str, Any] = {
    "rows": [],
    "columns": [],
    "tall": set(),
    "one": None,
    "said": "",
    "problem": "",
    "pager": {"previous": None, "next": None, "shown": ""},
}


def _rows(call: Call, repo: Repo, files: list[Entry]) -> dict[str, Any]:
    """What the page of rows shows of a split: the row at `row`, or PAGE_ROWS rows."""
    try:
        return _one_row(call, repo, files) if "row" in call.query else _some_rows(call, repo, files)
    except viewer.Unreadable as error:
        return {"problem": str(error)}


def _one_row(call: Call, repo: Repo, files: list[Entry]) -> dict[str, Any]:
    start = _position(call, "row")
    found = viewer.read_page(call.hub, repo, files, start)
    if not found.rows or found.rows[0][0] != start:
        return {"problem": _no_such_row(f"{start:,}", found.total)}
    said = f"row {start:,} of {found.total:,}"
    cells = [(name, viewer.text_of(value)) for name, value in found.rows[0][1].items()]
    return {"said": said, "one": {"at": start, "cells": cells}}


def _position(call: Call, name: str) -> int:
    """The position that the query string names; 0 where it names none.

    Raises:
        Unreadable: it is no position.
    """
    text = call.query.get(name) or "0"
    if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        raise viewer.Unreadable(_no_such_row(text[:50], None))
    return int(text)


def _no_such_row(position: str, total: int | None) -> str:
    last = "" if total is None else f" this split has {total:,}," if total else " this split has none,"
    return f"There is no such row: {position}. Rows are counted from 0;{last} the first ones are at from=0."


def _some_rows(call: Call, repo: Repo, files: list[Entry]) -> dict[str, Any]:
    start = _position(call, "from")
    column, value, text = (call.query.get(name, "") for name in ("column", "value", "q"))
    found = viewer.read_page(call.hub, repo, files, start, column=column, value=value, text=text)
    if start >= max(found.total, 1):
        return {"problem": _no_such_row(f"{start:,}", found.total)}
    names = list(dict.fromkeys(name for _, row in found.rows for name in row)) or list(filter(None, [column]))
    columns = names[:SHOWN_COLUMNS]
    more = f" · {len(names) - len(columns)} more columns are on the page of a row" if names != columns else ""
    texts = [[viewer.text_of(row[name]) if name in row else "" for name in columns] for _, row in found.rows]
    search = dict.fromkeys(("from", "column", "value", "q"))
    return {
        "columns": columns,
        "tall": {name for i, name in enumerate(columns) if any(len(cells[i]) > TALL for cells in texts)},
        "rows": [
            {"at": at, "url": url_with(call, **search, row=at), "cells": cells}
            for (at, _), cells in zip(found.rows, texts, strict=True)
        ],
        "said": _said(found, start) + more,
        "pager": _rows_pager(call, found, start),
    }


def _said(found: viewer.Page, start: int) -> str:
    if not found.looked_at:
        return f"{found.total:,} rows"
    return f"{len(found.rows)} found in {found.looked_at:,} rows looked at, from row {start:,} of {found.total:,}"


def _rows_pager(call: Call, found: viewer.Page, start: int) -> dict[str, Any]:
    """Links to the rows before and after; a search goes on where it stopped, and does not go back."""
    back = max(start - viewer.PAGE_ROWS, 0)
    return {
        "previous": url_with(call, **{"from": back or None}) if start and not found.looked_at else None,
        "next": None if found.then is None else url_with(call, **{"from": found.then}),
        "shown": f"rows {found.rows[0][0]:,}-{found.rows[-1][0]:,}" if found.rows else "",
    }


def _to_file(call: Call) -> Response:
    """GET blob/<rev>/<path>, as people write links to files."""
    return RedirectResponse(
        f"{call.repo().url_path}/resolve/{quote(call.params['rev'], safe='')}/{quote(call.params['path'])}"
    )


_VIEWER = "/datasets/{namespace}/{name}/viewer"
ROUTES: list[Route] = [
    *routes_of_repos("GET", "{name}/tree/{rev}", for_people(tree_page)),
    *routes_of_repos("GET", "{name}/tree/{rev}/{path:path}", for_people(tree_page)),
    *routes_of_repos("GET", "{name}/commits/{rev}", for_people(commits_page)),
    *routes_of_repos("GET", "{name}/commit/{rev}", for_people(commit_page)),
    *routes_of_repos("GET", "{name}/compare", for_people(compare_page)),
    *routes_of_repos("GET", "{name}/blob/{rev}/{path:path}", for_people(_to_file)),
    *(
        route("GET", _VIEWER + part, for_people(rows_page), kind="datasets")
        for part in ("", "/{config}", "/{config}/{split}")
    ),
    *routes_of_repos("GET", "{name}", for_people(card_page)),
]
