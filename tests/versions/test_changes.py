"""release.json and CHANGELOG.md of two releases, on the embedded Hub."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from corpus_rows import passage, question
from huggingface_hub import HfApi
from toy_run import SCORE, SCORES, Made

from hub_speed.errors import HubError
from hub_speed.hub import Hub
from hub_speed.localhub import LocalHub
from hub_speed.parquet import write_parquet
from hub_speed.rows import MinedRow
from hub_speed.versions import changes, manifest


def test_a_release_names_every_repository_and_the_next_one_says_what_is_new(made: Callable[..., Made]) -> None:
    run = made(base_licence="mit")
    first = run.release().embedder
    holds = manifest.read(run.hub, first)
    assert holds is not None and (holds.tag, holds.embedder, holds.licence) == (
        "v1.0",
        "org/speed-embedder",
        "apache-2.0",
    )
    assert {repo: member.stage for repo, member in holds.repositories.items()} == {
        "org/speed-tasks": "brainstorm",
        "org/speed-seed": "seed",
        "org/speed-embedder": "embedder",
        "org/speed-results": "evaluate",
    }
    assert holds.repositories["org/speed-seed"].teachers == ["offline-teacher"]
    assert {name.split("@")[0]: found for name, found in holds.sources.items()} == {
        "org/topics": ["cc-by-4.0"],
        "org/base": ["mit"],
    }
    assert holds.scores == [SCORE]
    assert run.hub.text(first, changes.FILE) == "# Changelog\n\n## v1.0\n\nThe first release.\n"
    run.recipe = run.recipe.model_copy(update={"rng_seed": 7})
    run.stages([SCORE | {"value": 0.9}, *SCORES[1:]])
    text = run.hub.text(run.release("v1.1").embedder, changes.FILE)
    assert text is not None and text.endswith("\n\n## v1.0\n\nThe first release.\n")
    assert "Compared with v1.0:" in text and "1 added, 1 removed." in text
    assert "- seed: `rng_seed`: `42` → `7`." in text and "- `org/speed-embedder`: `" in text and "org/base" not in text
    assert "| org/bench | nDCG@10 | 0.803 | 0.900 | 0.781 to 0.824 | +0.097 |" in text
    assert run.release("v1.1").tagged == 0


def test_a_release_before_that_is_gone_stops_nobody(made: Callable[..., Made], tmp_path: Path) -> None:
    run = made()
    run.release()
    run.recipe = run.recipe.model_copy(update={"rng_seed": 7})
    HfApi(endpoint=run.hub.endpoint).delete_repo("org/speed-tasks", repo_type="dataset")
    shutil.rmtree(tmp_path / "cache")
    run.stages(SCORES)
    text = run.hub.text(run.release("v1.1").embedder, changes.FILE)
    assert text is not None and "It cannot be compared with v1.0: `org/speed-tasks@" in text


def test_rows_with_other_negatives_are_other_rows(local: LocalHub, tmp_path: Path) -> None:
    hub, text = Hub(local.endpoint), passage("d", 0, "Oil the pump.")
    found = []
    for i, negatives in enumerate((["a"], ["b"], ["b"])):
        lists = {
            "positives": [text["text"]],
            "negatives": negatives,
            "positive_scores": [1.0],
            "negative_scores": [0.1],
        }
        write_parquet([question("q", "how often?", text, **lists)], MinedRow, tmp_path / str(i) / "data" / "retrieval")
        ref = hub.publish("dataset", f"org/mined-{i}", tmp_path / str(i), message="rows", tag="run-1")
        found.append(set(changes._digests(hub, ref)))
    assert found[0] != found[1] == found[2]


def test_what_is_no_manifest_is_said(made: Callable[..., Made]) -> None:
    run = made()
    ref = run.publish(run.hub.pin("model", "org/speed-embedder"), {}, {manifest.FILE: "{}"}, "v0.9")
    with pytest.raises(HubError, match=r"release\.json cannot be read"):
        manifest.read(run.hub, ref)


def test_a_collection_has_a_note_for_each_repository_and_the_newest_release_writes_them(
    made: Callable[..., Made],
) -> None:
    run = made()
    run.release()
    api = HfApi(endpoint=run.hub.endpoint)
    (found,) = api.list_collections(owner="org")
    notes = [item.note for item in api.get_collection(found.slug).items]
    assert len(notes) == 4 and all(note and note.startswith("v1.0: ") for note in notes)
    run.recipe = run.recipe.model_copy(update={"rng_seed": 7})
    run.stages(SCORES)
    run.release("v1.1")
    items = api.get_collection(found.slug).items
    assert len(items) == 4 and all(item.note and item.note.startswith("v1.1: ") for item in items)
