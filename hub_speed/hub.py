"""The Hub, as a store of pinned versions. The only module that calls `HfApi`.

A publication is one commit and its tag. The commit's message ends with the tag's name, so that a run that was killed
between the two finds its commit again and only the tag is missing.

The commit stays one, however many files there are: the client sends the content of large files before, and the commit
only names them. The Hub recommends 50 to 100 files a commit because it checks each while the request waits
(huggingface.co/docs/hub/storage-limits); its limits are 25,000 large files and 1 GB of small ones (`create_commit`).
Where that takes too long for the Hub's gateway, the commit may be made all the same. So every try starts from what the
branch holds: files that it has already are not sent, and where nothing is missing there is no second commit.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import urlsplit

import yaml
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    EvalResult,
    EvalResultEntry,
    HfApi,
    HfFileSystem,
    JobHardware,
    ModelCard,
    ModelCardData,
    RepoFile,
    eval_result_entries_to_yaml,
    get_token,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from pydantic import ValidationError

from hub_speed import safe_yaml
from hub_speed.errors import HubError, StaleParent, without_secrets
from hub_speed.hosts import is_here, is_http, proxy_of
from hub_speed.hub_faults import patiently, translated, unheard
from hub_speed.record import Kind, Ref, RunRecord

RECORD = "speed_run.json"

JOB_MACHINES = tuple(machine.value for machine in JobHardware)
"""The machines that Jobs run on, as far as the client knows them."""


class Version(NamedTuple):
    """A commit of a branch, with its title and all its tags."""

    ref: Ref
    branch: str
    title: str
    tags: list[str]


class Hub:
    """A Hugging Face Hub: huggingface.co, or an embedded one.

    Args:
        endpoint: its address.
        private: whether repositories and collections are created as private ones; None: as the organisation creates
            them. Those that exist stay as they are.
        token: whose Hub it is; None: that of whoever is logged in on this machine; False: nobody's.

    Attributes:
        shown: the address for messages, without a password.
    """

    def __init__(self, endpoint: str, *, private: bool | None = None, token: str | bool | None = None) -> None:
        self.endpoint, self.shown = endpoint, without_secrets(endpoint)
        self._api = HfApi(endpoint=endpoint, library_name="hub_speed", token=token)
        self._streamed = HfFileSystem(endpoint=endpoint, token=token)
        self._private = private

    def pin(self, kind: Kind, name: str) -> Ref:
        """The pinned version of `org/name` or `org/name@revision`.

        Raises:
            NotFound: there is no such repository or revision, or the token may not see it.
            HubError: the Hub does not answer.
        """
        repo, _, revision = name.partition("@")
        with self._translating_errors(f"{kind} {name}"):
            info = self._api.repo_info(repo, repo_type=kind, revision=revision or None)
        return Ref(kind, repo, str(info.sha))

    def check_access(self, ref: Ref) -> None:
        """Ask whether the token may read a version's files: everybody sees that a gated repository is there.

        Raises:
            NotFound: it may not.
        """
        with self._translating_errors(f"{ref.kind} {ref.repo}"):
            if getattr(self._api.repo_info(ref.repo, repo_type=ref.kind, revision=ref.commit), "gated", False):
                self._api.auth_check(ref.repo, repo_type=ref.kind)

    def check_may_write(self, kind: Kind, repo: str) -> None:
        """Ask whether the token may write to a repository, there or not.

        The account says so, but for an organisation that it does not list: a fine-grained token may list none, and on
        an embedded Hub every name is free. There the repository is created, the surest question there is.

        Raises:
            HubError: it may not, or there is no token.
        """
        org = repo.partition("/")[0]
        with self._translating_errors(f"{kind} {repo}"):
            account = self._api.whoami(cache=True)
            role = account.get("auth", {}).get("accessToken", {}).get("role")
            orgs = [each["name"] for each in account.get("orgs", []) if each.get("roleInOrg") != "read"]
            names = [account["name"], *orgs]
            listed = org in names and role != "fineGrained"
            if role != "read" and (listed or self._creates(kind, repo)):
                return
        raise HubError(
            f"{kind} {repo}: {account['name']} may not write to {org} on {self.shown}",
            expected=f"--org {' or '.join(names)}",
            got="a token that only reads" if role == "read" else "",
            fix="name an organisation you may write to, or log in with a token that may (hf auth login)",
        )

    def _creates(self, kind: Kind, repo: str) -> bool:
        """Whether the token may create a repository.

        Raises:
            HfHubHTTPError: it is there and may not be written, or the Hub does something else.
        """
        try:
            self._api.create_repo(repo, repo_type=kind, private=self._private)
        except HfHubHTTPError as error:
            if error.response.status_code == 409:  # it is there
                self._api.auth_check(repo, repo_type=kind, write=True)
            elif error.response.status_code in (401, 403, 404):
                return False
            else:
                raise
        return True

    def find(self, kind: Kind, repo: str, tag: str) -> Ref | None:
        """The version that carries a tag, or None. A commit that lost its tag to a kill is tagged now."""
        with self._translating_errors(f"{kind} {repo}"):
            try:
                refs = self._api.list_repo_refs(repo, repo_type=kind)
                for ref in refs.tags:
                    if ref.name == tag:
                        return Ref(kind, repo, ref.target_commit)
                for branch in refs.branches:
                    for commit in self._api.list_repo_commits(repo, repo_type=kind, revision=branch.name):
                        if commit.title.endswith(f" {tag}"):
                            self._api.create_tag(repo, tag=tag, revision=commit.commit_id, repo_type=kind)
                            return Ref(kind, repo, commit.commit_id)
            except RepositoryNotFoundError:
                return None
        return None

    def tags(self, kind: Kind, repo: str) -> dict[str, Ref]:
        """The tags on the main branch, the newest commit's first."""
        with self._translating_errors(f"{kind} {repo}"):
            names: dict[str, list[str]] = {}
            for ref in self._api.list_repo_refs(repo, repo_type=kind).tags:
                names.setdefault(ref.target_commit, []).append(ref.name)
            commits = [commit.commit_id for commit in self._api.list_repo_commits(repo, repo_type=kind)]
        return {name: Ref(kind, repo, commit) for commit in commits for name in names.get(commit, [])}

    def branches(self, kind: Kind, repo: str) -> set[str]:
        """The names of a repository's branches; none where there is no repository."""
        with self._translating_errors(f"{kind} {repo}"):
            try:
                return {branch.name for branch in self._api.list_repo_refs(repo, repo_type=kind).branches}
            except RepositoryNotFoundError:
                return set()

    def kept(self, kind: Kind, repo: str) -> str:
        """Where a repository is not private or public as new ones are to be, which of both it is; else nothing."""
        with self._translating_errors(f"{kind} {repo}"):
            private = bool(self._api.repo_info(repo, repo_type=kind).private)
        return "" if self._private in (None, private) else "private" if private else "public"

    def head(self, kind: Kind, repo: str) -> Ref | None:
        """The newest version on the main branch, or None when there is no such repository."""
        with self._translating_errors(f"{kind} {repo}"):
            try:
                return Ref(kind, repo, str(self._api.repo_info(repo, repo_type=kind).sha))
            except RepositoryNotFoundError:
                return None

    def fetch(self, ref: Ref, *patterns: str) -> Path:
        """A folder with the files of a version (those that match `patterns`, if any are given).

        Raises:
            HubError: they cannot be fetched, or they are a dataset's and its card would harm who reads it.
        """
        with self._translating_errors(str(ref)):
            folder = Path(
                self._api.snapshot_download(
                    ref.repo, repo_type=ref.kind, revision=ref.commit, allow_patterns=list(patterns) or None
                )
            )
        card = folder / "README.md"
        if ref.kind == "dataset" and card.exists():  # `datasets` reads it without bounds
            try:
                safe_yaml.front_matter(card.read_text("utf-8", "replace"))
            except yaml.YAMLError as error:
                raise HubError(
                    f"{ref}: the metadata in its README.md cannot be read",
                    got=" ".join(str(error).split()),
                    fix="use another version, or a copy of the repository with the card repaired",
                ) from error
        return folder

    def files(self, ref: Ref) -> dict[str, int]:
        """The paths of a version's files, sorted, and their sizes in bytes."""
        with self._translating_errors(str(ref)):
            return {entry.path: entry.size for entry in self._entries(ref)}

    @contextmanager
    def open(self, ref: Ref, path: str) -> Iterator[BinaryIO]:
        """A file of a version, read over the network: only the parts that are asked for are fetched."""
        folder = "" if ref.kind == "model" else f"{ref.kind}s/"
        with (
            self._translating_errors(str(ref)),
            self._streamed.open(f"{folder}{ref.repo}@{ref.commit}/{path}", "rb") as file,
        ):
            yield cast(BinaryIO, file)

    def hashes(self, ref: Ref) -> dict[str, str]:
        """Every file of a version → its hash as the Hub states it: sha256 of a large file, else git's sha1."""
        with self._translating_errors(str(ref)):
            return {entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id for entry in self._entries(ref)}

    def _entries(self, ref: Ref) -> list[RepoFile]:
        tree = self._api.list_repo_tree(ref.repo, repo_type=ref.kind, revision=ref.commit, recursive=True)
        return sorted((entry for entry in tree if isinstance(entry, RepoFile)), key=lambda entry: entry.path)

    def download(self, ref: Ref, folder: Path, file: str = "") -> Path:
        """A version's files, read from the Hub whatever the client has kept; returns where they are in `folder`.

        With `file`, that one alone.
        """
        where: dict[str, Any] = {"repo_type": ref.kind, "revision": ref.commit, "cache_dir": folder}
        with self._translating_errors(str(ref)):
            if file:
                return Path(self._api.hf_hub_download(ref.repo, file, **where))
            return Path(self._api.snapshot_download(ref.repo, **where))

    def record(self, ref: Ref) -> RunRecord | None:
        """How a version was made (`speed_run.json`), or None when hub_speed did not make it."""
        text = self.text(ref, RECORD)
        try:
            return None if text is None else RunRecord.model_validate_json(text)
        except ValidationError as error:
            raise HubError(
                f"{ref}: {RECORD} cannot be read",
                expected="a record of this version of hub_speed",
                got=" ".join(str(error).split())[:300],
                fix="make the version again, or read it with the hub_speed that made it (the record's `packages`)",
            ) from error

    def card(self, ref: Ref) -> str:
        """The text of a version's card, empty when it has none."""
        return self.text(ref, "README.md") or ""

    def text(self, ref: Ref, file: str) -> str | None:
        """The text of a version's file, or None when the version has no such file."""
        with self._translating_errors(str(ref)):
            try:
                path = self._api.hf_hub_download(ref.repo, file, repo_type=ref.kind, revision=ref.commit)
            except RemoteEntryNotFoundError:
                return None
        return Path(path).read_text("utf-8", "replace")

    def licences(self, ref: Ref) -> list[str]:
        """The licences in a version's card (`license_name` where the licence is "other"); `[""]` when it has none."""
        try:
            data, _ = safe_yaml.front_matter(self.card(ref))
        except yaml.YAMLError:
            data = {}
        named = data.get("license_name") or data.get("license") or ""
        names = named if isinstance(named, list) and named else [named or ""]
        return [re.sub(r"[^\w.+()-]+", " ", str(name).lower())[:100] for name in names]  # no Markdown of other people

    def released_card(self, ref: Ref, section: str, results: list[dict[str, Any]], licence: str) -> str:
        """A model's card with a new first section, and with scores in the form the Hub reads.

        Args:
            ref: the version with the card.
            section: Markdown.
            results: fields of huggingface_hub's `EvalResult`; they become the header's `model-index`.
            licence: the licence of the release.
        """
        card = ModelCard(self.card(ref))
        data = cast(ModelCardData, card.data)
        text = card.text.replace(f"## Licence\n\n`{data.license}`", f"## Licence\n\n`{licence}`")
        text = re.sub(r"^- \*\*Conflict:\*\* .*\n", "", text, flags=re.MULTILINE)  # the section lists what remains
        data.license, data.model_name = licence, ref.repo.split("/")[1]
        data.eval_results = [EvalResult(**result) for result in results]
        front, heading, rest = text.partition("\n## ")
        card.text = f"{front.rstrip()}\n\n{section.strip()}\n{heading}{rest}"
        return str(card)

    def eval_results(self, results: list[dict[str, Any]], source: Ref, date: str = "") -> str:
        """YAML for `.eval_results/`, from which the Hub fills leaderboards: a list of scores, times 100.

        The source is linked to unless it is on a Hub of this machine alone, whose port is another one next time.

        Args:
            results: fields of huggingface_hub's `EvalResult`; `task_name` is what the benchmark calls the task.
            source: the version that holds the scores.
            date: the day on which they were measured; "": the Hub takes that of the commit.
        """
        address = _public(self.endpoint)
        entries = [
            EvalResultEntry(
                dataset_id=result["dataset_type"],
                dataset_revision=result["dataset_revision"],
                task_id=result["task_name"],
                value=round(100 * result["metric_value"], 2),
                date=date or None,
                notes=result["metric_name"],
                source_url=f"{address}/datasets/{source.repo}/tree/{source.commit}" if address else None,
                source_name=source.repo if address else None,
            )
            for result in results
        ]
        return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)

    def tag(self, ref: Ref, tag: str) -> None:
        """Tag a version."""
        with self._translating_errors(str(ref)):
            patiently(lambda: self._tag(ref, tag))

    def publish(
        self,
        kind: Kind,
        repo: str,
        folder: Path,
        *,
        message: str,
        tag: str,
        branch: str = "main",
        note: Callable[[str], None] = unheard,
    ) -> Ref:
        """Make the branch hold exactly the files of `folder`: one commit on top of the current head, then its tag.

        A Hub that is busy or away for a moment is waited for, and a try starts from what the branch then holds.

        Args:
            kind: kind of the repository.
            repo: name of the repository, which is created when missing.
            folder: the files.
            message: the commit's message, without the tag.
            tag: the tag's name. A tag of that name moves.
            branch: created when missing.
            note: told of every wait.

        Returns:
            The new version; the head as it was, if it holds these files already.

        Raises:
            StaleParent: another run has published the same in between, or others commit again and again; nothing was
                published.
            HubError: the Hub does not answer or refuses.
        """
        with self._translating_errors(f"{kind} {repo}", kept="what was built is kept: "):
            ref = patiently(lambda: self._commit(kind, repo, folder, f"{message} {tag}", branch), note)
            patiently(lambda: self._tag(ref, tag), note)
        return ref

    def _commit(self, kind: Kind, repo: str, folder: Path, message: str, branch: str) -> Ref:
        """Commit what the branch's head does not hold yet."""
        sdk = "gradio" if kind == "space" else None
        self._api.create_repo(repo, repo_type=kind, exist_ok=True, private=self._private, space_sdk=sdk)
        if branch != "main":
            self._api.create_branch(repo, branch=branch, repo_type=kind, exist_ok=True)
        parent = str(self._api.repo_info(repo, repo_type=kind, revision=branch).sha)
        new = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        old = set(self._api.list_repo_files(repo, repo_type=kind, revision=parent)) - {".gitattributes"}
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(name, path) for name, path in new.items()),
            *(CommitOperationDelete(name) for name in sorted(old - set(new))),
        ]
        try:
            commit = self._api.create_commit(
                repo, operations, commit_message=message, repo_type=kind, revision=branch, parent_commit=parent
            )
        except HfHubHTTPError as error:
            if error.response.status_code == 412:
                self._check_not_published(kind, repo, branch, message)
            raise
        return Ref(kind, repo, commit.oid)

    def _check_not_published(self, kind: Kind, repo: str, branch: str, message: str) -> None:
        """See to it that the tag of what another run published in the meantime is not moved.

        Raises:
            StaleParent: the head is a commit with this message.
        """
        head = self._api.list_repo_commits(repo, repo_type=kind, revision=branch)[0]
        if head.title == message:
            raise StaleParent(
                f"{kind} {repo}: another run has published the same in between",
                fix="run the same command again: it goes on with what is published",
            )

    def _tag(self, ref: Ref, tag: str) -> None:
        """Tag a version; a tag of that name moves."""
        tags = self._api.list_repo_refs(ref.repo, repo_type=ref.kind).tags
        there = next((found.target_commit for found in tags if found.name == tag), None)
        if there == ref.commit:  # the answer was lost, or this is done again
            return
        if there:
            self._api.delete_tag(ref.repo, tag=tag, repo_type=ref.kind)
        self._api.create_tag(ref.repo, tag=tag, revision=ref.commit, repo_type=ref.kind)

    def add(self, kind: Kind, repo: str, files: dict[str, bytes], *, card: str, message: str) -> Ref:
        """Add files to a repository in one commit; nothing else in it is touched.

        Args:
            kind: kind of the repository.
            repo: its name; without an owner it is the user's.
            files: path → content.
            card: of a repository that has none; {repo} stands for its whole name.
            message: of the commit.
        """
        with self._translating_errors(f"{kind} {repo}"):
            url = self._api.create_repo(repo, repo_type=kind, exist_ok=True, private=self._private)
            if not self._api.file_exists(url.repo_id, "README.md", repo_type=kind):
                files = files | {"README.md": card.replace("{repo}", url.repo_id).encode()}
            operations = [CommitOperationAdd(path, content) for path, content in files.items()]
            commit = self._api.create_commit(url.repo_id, operations, commit_message=message, repo_type=kind)
        return Ref(kind, url.repo_id, commit.oid)

    def ensure(self, kind: Kind, repo: str, content: str, make: Callable[[Path], None]) -> Ref:
        """A version with this content; it is published first when the repository does not have it yet.

        Args:
            kind: kind of the repository.
            repo: name of the repository.
            content: text that identifies the content; its hash names the tag.
            make: writes the files into a folder.
        """
        if ref := self.find_content(kind, repo, content):
            return ref
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            return self.publish(kind, repo, Path(folder), message="Publish", tag=_content_tag(content))

    def find_content(self, kind: Kind, repo: str, content: str) -> Ref | None:
        """The version with this content, or None."""
        return self.find(kind, repo, _content_tag(content))

    def on_branch(self, kind: Kind, repo: str, branch: str) -> list[str]:
        """The files on a branch; none where there is no such branch."""
        with self._translating_errors(f"{kind} {repo}"):
            try:
                return list(self._api.list_repo_files(repo, repo_type=kind, revision=branch))
            except (RepositoryNotFoundError, RevisionNotFoundError):
                return []

    def put(self, kind: Kind, repo: str, branch: str, name: str, content: bytes | Path) -> None:
        """Write one file to a branch, which is created when missing. Others may write other files at the same time."""

        def commit() -> None:
            self._api.create_repo(repo, repo_type=kind, exist_ok=True, private=self._private)
            self._api.create_branch(repo, branch=branch, repo_type=kind, exist_ok=True)
            add = [CommitOperationAdd(name, content)]
            self._api.create_commit(repo, add, commit_message=name, repo_type=kind, revision=branch)

        with self._translating_errors(f"{kind} {repo}", kept="what was answered is kept: "):
            patiently(commit)

    def get(self, kind: Kind, repo: str, branch: str, name: str) -> Path | None:
        """One file of a branch as it is now; None where there is none."""
        with self._translating_errors(f"{kind} {repo}"):
            try:
                return Path(self._api.hf_hub_download(repo, name, repo_type=kind, revision=branch))
            except (RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError):
                return None

    def drop_branch(self, kind: Kind, repo: str, branch: str) -> None:
        """Delete a branch, if it is there."""
        if branch in self.branches(kind, repo):
            with self._translating_errors(f"{kind} {repo}"):
                self._api.delete_branch(repo, branch=branch, repo_type=kind)

    def start_job(
        self,
        org: str,
        image: str,
        command: list[str],
        *,
        environment: dict[str, str],
        secrets: dict[str, str],
        flavor: str,
        seconds: int,
        attempts: int,
        name: str,
    ) -> str:
        """Start a Job, which gets the token as well; returns its id."""
        with self._translating_errors(f"a Job of {org}"):
            token = self._api.token or get_token() or ""
            job = self._api.run_job(
                image=image,
                command=command,
                env=environment,
                secrets=secrets | {"HF_TOKEN": str(token)},
                flavor=flavor,
                timeout=seconds,
                attempts=attempts,
                name=name,
                namespace=org,
            )
        return str(job.id)

    def job(self, org: str, job_id: str) -> tuple[str, str]:
        """The stage of a Job (SCHEDULING, RUNNING, COMPLETED, ERROR, CANCELED, DELETED), and what is said about it."""
        with self._translating_errors(f"Job {job_id} of {org}"):
            status = patiently(lambda: self._api.inspect_job(job_id=job_id, namespace=org)).status
        return str(status.stage), status.message or ""

    def cancel_job(self, org: str, job_id: str) -> None:
        """End a Job."""
        with self._translating_errors(f"Job {job_id} of {org}"):
            self._api.cancel_job(job_id=job_id, namespace=org)

    def repositories(self, org: str) -> list[tuple[Kind, str, bool]]:
        """(kind, name, whether private) of all repositories of an organisation that the token may see."""
        with self._translating_errors(f"organisation {org}"):
            found: list[tuple[Kind, Any]] = [
                *(("model", item) for item in self._api.list_models(author=org)),
                *(("dataset", item) for item in self._api.list_datasets(author=org)),
                *(("space", item) for item in self._api.list_spaces(author=org)),
            ]
        return [(kind, str(item.id), bool(item.private)) for kind, item in found]

    def versions(self, kind: Kind, repo: str) -> list[Version]:
        """The commits that a tag or a branch names, oldest first, those of main before those of other branches only."""
        with self._translating_errors(f"{kind} {repo}"):
            refs = self._api.list_repo_refs(repo, repo_type=kind)
            found: dict[str, Version] = {}
            for branch in sorted(refs.branches, key=lambda each: (each.name != "main", each.name)):
                history = self._api.list_repo_commits(repo, repo_type=kind, revision=branch.name)
                for commit in reversed(history):
                    tags = [tag.name for tag in refs.tags if tag.target_commit == commit.commit_id]
                    if tags or commit is history[0]:
                        ref = Ref(kind, repo, commit.commit_id)
                        found.setdefault(ref.commit, Version(ref, branch.name, commit.title, tags))
        return list(found.values())

    def is_new(self, kind: Kind, repo: str) -> bool:
        """Whether a repository is missing, or holds nothing but its first commit."""
        with self._translating_errors(f"{kind} {repo}"):
            try:
                return len(self._api.list_repo_commits(repo, repo_type=kind)) < 2
            except RepositoryNotFoundError:
                return True

    def collect(self, org: str, title: str, notes: dict[Ref, str], description: str) -> None:
        """Add repositories with their notes to the organisation's collection of that title, created when missing."""
        with self._translating_errors(f"collection {title} of {org}"):
            collection = self._api.create_collection(
                title, namespace=org, description=description, private=bool(self._private), exists_ok=True
            )
            there = {(item.item_type, item.item_id): item for item in collection.items}
            for ref, note in notes.items():
                item = there.get((ref.kind, ref.repo))
                if item is None:
                    self._api.add_collection_item(collection.slug, ref.repo, ref.kind, note=note, exists_ok=True)
                elif item.note != note:
                    self._api.update_collection_item(collection.slug, item.item_object_id, note=note)

    @contextmanager
    def _translating_errors(self, where: str, kept: str = "") -> Iterator[None]:
        """Translates exceptions of the client into errors with a fix.

        Args:
            where: what was read or written, for the message.
            kept: put before the fix, to say that nothing was lost.
        """
        try:
            yield
        except ImportError as error:  # the client cannot be made where any of the proxies is none of HTTP
            proxies = map(proxy_of, ("http", "https"))
            variable, proxy = next((found for found in proxies if not is_http(found[1])), ("", ""))
            if not variable:
                raise
            raise HubError(
                f"{where}: the proxy in {variable} does not speak HTTP",
                expected="http://…",
                got=f"{proxy.partition('://')[0]}://…",
                fix=f"{kept}set {variable} to an HTTP proxy, or unset it if {self.shown} can be reached without",
            ) from error
        except (HTTPError, OSError, RuntimeError, ValueError) as error:
            raise translated(error, where, self.shown, kept) from error


def _public(endpoint: str) -> str:
    """The address for links in published files: without a password, and empty where only this machine is meant."""
    parts = urlsplit(endpoint)
    if is_here(parts.hostname or ""):
        return ""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _content_tag(content: str) -> str:
    return f"content-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
