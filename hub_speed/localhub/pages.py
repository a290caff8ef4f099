"""The web view: what is in this hub, for people with a browser. Public repos only, read-only, no JavaScript."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import quote

import jinja2
import yaml
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from hub_speed.localhub import cards, collections, markdown, trees
from hub_speed.localhub.errors import HttpRefusal, entry_not_found
from hub_speed.localhub.git import HEADS, MAIN, TAGS, commit_info
from hub_speed.localhub.store import KINDS, Repo, iso
from hub_speed.localhub.templates import STYLE, TEMPLATES
from hub_speed.localhub.trees import Entry
from hub_speed.localhub.web import Call, route, routes_of_repos

# Control characters and those that reverse the writing direction: with them, text looks like something else.
INVISIBLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e\ud800-\udfff]")
SHOWN_COMMITS, SHOWN_FILES, SHOWN_TAGS = 20, 40, 5
CSP = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


@cache
def _jinja() -> jinja2.Environment:
    env = jinja2.Environment(loader=jinja2.DictLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined)
    env.filters["urlencode_all"] = lambda text: quote(text, safe="")
    return env


def _page(template: str, title: str, status: int = 200, **values: Any) -> HTMLResponse:
    html = _jinja().get_template(template).render(title=f"{title} · local hub", style=STYLE, **values)
    headers = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache"}
    return HTMLResponse(INVISIBLE.sub("\ufffd", html), status, headers)


def _for_people(handler: Callable[[Call], Response]) -> Callable[[Call], Response]:
    """A handler whose refusals are pages, not JSON."""

    def answer(call: Call) -> Response:
        try:
            return handler(call)
        except HttpRefusal as error:
            return _page("error", "Not found", error.status, message=error.message)

    return answer


def index(call: Call) -> Response:
    """GET /: all repos."""
    kinds = {kind: [_row(repo, head) for repo, head in call.hub.visible(kind, private=False)] for kind in KINDS}
    return _page("index", "Repos", kinds=kinds, collections=collections.all_collections(call.hub, private=False))


def _row(repo: Repo, head: str) -> dict[str, Any]:
    tags = list(repo.git.refs(TAGS))[-SHOWN_TAGS:]
    return {
        "id": repo.id,
        "url": repo.url_path,
        "sha": head,
        "when": _when(commit_info(repo.git, head).time),
        "tags": tags,
    }


def repo_page(call: Call) -> Response:
    """GET a repo: its card, files, refs and history."""
    repo = call.repo()
    git, sha = repo.git, repo.git.resolve(MAIN)
    metadata, text = cards.of_commit(git, sha)
    history = list(git.log(sha))
    files = [entry for entry in trees.walk(git, commit_info(git, sha).tree) if not entry.is_dir]
    return _page(
        "repo",
        repo.id,
        repo=repo,
        sha=sha,
        when=_when(history[0].time),
        card_tags=cards.as_list(metadata.get("tags")),
        card=markdown.render(text or "*This repo has no README.md.*", f"{repo.url_path}/resolve/{sha}"),
        snippet=_snippet(repo, metadata),
        files=[_file(repo, "main", entry, entry.path) for entry in files[:SHOWN_FILES]],
        file_count=len(files),
        refs=[*reversed(git.refs(TAGS).items()), *git.refs(HEADS).items()],
        count=len(history),
        commits=[{**info._asdict(), "when": _when(info.time)} for info in history[:SHOWN_COMMITS]],
        metadata={key: _value(value) for key, value in metadata.items()},
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
    return _page(
        "tree",
        f"{repo.id} at {rev}",
        repo=repo,
        sha=sha,
        crumbs=crumbs,
        commit=commit_info(repo.git, sha),
        when=_when(commit_info(repo.git, sha).time),
        files=[
            {**_file(repo, rev, entry, entry.path.rpartition("/")[2]), "commit": last[entry.path].title}
            for entry in entries
        ],
    )


def collection_page(call: Call) -> Response:
    """GET a collection."""
    item = collections.read(call)
    for entry in item["items"]:
        entry["url"] = f"/{entry['id']}" if entry["type"] == "model" else f"/{entry['type']}s/{entry['id']}"
        entry.setdefault("note", None)
    return _page("collection", item["title"], item=item)


def _file(repo: Repo, rev: str, entry: Entry, name: str) -> dict[str, Any]:
    place = "tree" if entry.is_dir else "resolve"
    url = f"{repo.url_path}/{place}/{quote(rev, safe='')}/{quote(entry.path)}"
    size = "" if entry.is_dir else _size(entry.size)
    return {"name": name, "url": url, "is_dir": entry.is_dir, "size": size, "commit": None}


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _when(seconds: int) -> str:
    return iso(seconds)[:16].replace("T", " ")


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


def _to_tree(call: Call) -> Response:
    """GET commit/<sha>, the URL that clients get for a commit."""
    return RedirectResponse(f"{call.repo().url_path}/tree/{quote(call.params['rev'], safe='')}")


def _to_file(call: Call) -> Response:
    """GET blob/<rev>/<path>, as people write links to files."""
    return RedirectResponse(
        f"{call.repo().url_path}/resolve/{quote(call.params['rev'], safe='')}/{quote(call.params['path'])}"
    )


ROUTES: list[Route] = [
    route("GET", "/", _for_people(index)),
    route("GET", "/collections/{namespace}/{slug}", _for_people(collection_page)),
    *routes_of_repos("GET", "{name}/tree/{rev}", _for_people(tree_page)),
    *routes_of_repos("GET", "{name}/tree/{rev}/{path:path}", _for_people(tree_page)),
    *routes_of_repos("GET", "{name}/commit/{rev}", _for_people(_to_tree)),
    *routes_of_repos("GET", "{name}/blob/{rev}/{path:path}", _for_people(_to_file)),
    *routes_of_repos("GET", "{name}", _for_people(repo_page)),
]
