"""What the Hub can do and the local hub cannot: a 501 with a sentence. And ids without a namespace: never here."""

import re
from collections.abc import Callable
from typing import Any, NoReturn

from starlette.routing import Route

from hub_speed.localhub.errors import not_here, repo_not_found
from hub_speed.localhub.web import Call, route

METHODS = "GET POST PUT DELETE"
LIKES = "The local hub has no likes: its only user is the person whose machine this is"
GATED = "The local hub has no access requests: it keeps the setting 'gated', and does not enforce it on this machine"
USERS = "The local hub has one user, `local`, and no members, followers or profiles"
WEBHOOKS = "The local hub has no webhooks: look at the commits of a repo instead (list_repo_commits)"
BUCKETS = "The local hub has no buckets: keep files in a dataset repo"
JOBS = "The local hub runs no jobs: run the script on this machine"
KERNELS = "The local hub has no kernel repos: use a model, dataset or space"
PAPERS = "The local hub has no papers: they are on huggingface.co"
SPACES = "The local hub keeps Spaces but does not run them: start the app yourself (python app.py)"
COPIES = "The local hub copies no large files between repos in a commit: upload them, or duplicate the whole repo"
GROUPS = "The local hub has no resource groups: the one token may do everything"
SEARCH = "The local hub has no search by meaning: search by name (list_spaces(search=...))"
TAGS = "The local hub has no list of all tags: look for repos with a tag (list_models(filter=...))"

# Below /api/{kind}/{namespace}/{name}/
OF_A_REPO = {
    "like": LIKES,
    "likers": LIKES,
    "user-access-request/{rest:path}": GATED,
    "lfs-files/duplicate": COPIES,
    "resource-group": GROUPS,
    "dev-mode": SPACES,
    "volumes": SPACES,
    "logs/{rest:path}": SPACES,
}
# Below /api/
ELSEWHERE = {
    "users/{name}/likes": LIKES,
    "users/{name}/{rest:path}": USERS,
    "organizations/{name}/{rest:path}": USERS,
    "settings/webhooks": WEBHOOKS,
    "settings/webhooks/{rest:path}": WEBHOOKS,
    "buckets/{rest:path}": BUCKETS,
    "jobs/{rest:path}": JOBS,
    "scheduled-jobs/{rest:path}": JOBS,
    "kernels": KERNELS,
    "kernels/{rest:path}": KERNELS,
    "papers/{rest:path}": PAPERS,
    "daily_papers": PAPERS,
    "models-tags-by-type": TAGS,
    "datasets-tags-by-type": TAGS,
    "spaces/semantic-search": SEARCH,
    "spaces/templates": SPACES,
    "spaces/hardware": SPACES,
}


def _absent(sentence: str, *, of_a_repo: bool = False) -> Callable[[Call], NoReturn]:
    """A handler that answers 501, or 404 where it is asked about a repo that is not here."""

    def answer(call: Call) -> NoReturn:
        if of_a_repo:
            call.repo()
        raise not_here(sentence)

    return answer


def _missing(call: Call) -> Any:
    """Answer for an id without a namespace (`gpt2`).

    Raises:
        HttpRefusal: 404 RepoNotFound, which libraries that probe for such repos understand.
    """
    raise repo_not_found(call.params["name"])


def without_namespace(found: Route) -> Route | None:
    """The same route for an id without a namespace; None where the route is not about a repo, or is a page."""
    nameless, of_a_repo = re.subn(r"\{namespace(:\w+)?\}/(?=\{name\})", "", found.path)
    if not of_a_repo or not (nameless.startswith("/api/") or nameless.partition("{name}")[2]):
        return None
    methods = sorted((found.methods or set()) - {"HEAD"})
    return route(" ".join(methods), nameless, _missing, anonymous=True)


ROUTES: list[Route] = [
    route(METHODS, path, handler, anonymous=True)
    for path, handler in (
        *(
            (f"/api/{{kind}}/{{namespace}}/{{name}}/{end}", _absent(text, of_a_repo=True))
            for end, text in OF_A_REPO.items()
        ),
        *((f"/api/{end}", _absent(text)) for end, text in ELSEWHERE.items()),
    )
]
