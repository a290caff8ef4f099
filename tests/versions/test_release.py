"""Releases: the embedder's card with scores and licences, one commit, one tag on all; against the embedded Hub."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import HfApi, ModelCard, parse_eval_result_entries
from toy_run import SCORE, SCORES, Made

from hub_speed.errors import HubError, RecipeError
from hub_speed.evaluation.published_scores import TASKS
from hub_speed.hub import RECORD, Hub
from hub_speed.pipeline.plan import plan
from hub_speed.recipe import Recipe
from hub_speed.record import Ref
from hub_speed.versions import manifest

MTEB = [
    SCORE
    | {"task_type": TASKS[name][0], "measure": "Spearman", "benchmark": name, "dataset": f"mteb/{name}@1"}
    | {"low": None, "high": None, "value": 0.5}
    for name in ("BIOSSES", "STS16")
]


def test_a_release_is_one_commit_and_a_tag_on_all_and_a_second_does_nothing(
    made: Callable[..., Made],
) -> None:
    run = made()
    api = HfApi(endpoint=run.hub.endpoint)
    before = api.list_repo_commits("org/speed-embedder")
    released = run.release()
    assert released.tagged == 4 and released.notes == []  # tasks, seed, embedder, results
    after = api.list_repo_commits("org/speed-embedder")
    assert len(after) == len(before) + 1 and after[0].commit_id == released.embedder.commit
    files = {ref: set(api.list_repo_files("org/speed-embedder", revision=ref)) for ref in ("v1.0", before[0].commit_id)}
    assert files["v1.0"] - files[before[0].commit_id] == {
        ".eval_results/hub_speed.yaml",
        "CHANGELOG.md",
        "release.json",
    }
    assert files["v1.0"] > files[before[0].commit_id] >= {RECORD, "model.safetensors"}
    refs = api.list_repo_refs("org/speed-results", repo_type="dataset").tags
    assert len({ref.target_commit for ref in refs}) == 1 and "v1.0" in {ref.name for ref in refs}
    again = run.release()
    assert again.tagged == 0 and again.embedder == released.embedder
    assert len(api.list_repo_commits("org/speed-embedder")) == len(after)
    # The pipeline still finds the version it made.
    assert all(step.why == "cached" for step in plan(run.recipe, run.session))


def test_the_card_holds_scores_as_the_hub_reads_them(made: Callable[..., Made]) -> None:
    run = made([*SCORES, *MTEB])
    text = run.hub.card(run.release().embedder)
    card = ModelCard(text)
    assert card.data.model_name == "speed-embedder"
    results = {(r.dataset_type, r.metric_type): r for r in card.data.eval_results}
    assert set(results) == {
        ("org/bench", "ndcg_at_10"),
        ("mteb/BIOSSES", "spearman"),
        ("mteb/STS16", "spearman"),
    }
    found = results["org/bench", "ndcg_at_10"]
    assert (found.metric_value, found.task_type, found.dataset_revision) == (0.8034, "retrieval", "abc")
    assert "| org/bench | nDCG@10 | **this model** | 0.803 | 0.781 to 0.824 | 400 |" in text
    assert "| org/bench | nDCG@10 | BM25 | 0.722 |" in text and "yield" not in text
    # The papers on those two tasks alone, and nobody of whom only means over 56 are known.
    assert "| mean over | STS (2) | all (2) |" in text and "| **this model** | 50.0 | 50.0 |" in text
    assert "| SPEED, synthetic | 85.6 | 85.6 |" in text and "Gecko" not in text
    assert "- Not scored: SciFact (embedder), `ValueError: a \\| b`" in text
    assert text.index("What it is.") < text.index("## Scores of v1.0") < text.index("## Training")
    assert "{{" not in text and "None" not in text and 'revision="v1.0"' in text and '"run-' not in text


def test_several_licences_are_all_looked_at(made: Callable[..., Made]) -> None:
    run = made(base_licence=["mit", "cc-by-nc-4.0"])  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="more permissive") as caught:
        run.release()
    assert "is cc-by-nc-4.0, which asks for no commercial use" in caught.value.got


def test_scores_are_there_for_leaderboards(made: Callable[..., Made]) -> None:
    run = made([*SCORES, *MTEB])
    released = run.release().embedder
    place = run.hub.fetch(released, ".eval_results/*") / ".eval_results" / "hub_speed.yaml"
    found = {(e.dataset_id, e.task_id): e for e in parse_eval_result_entries(yaml.safe_load(place.read_text()))}
    assert {key: entry.value for key, entry in found.items()} == {
        ("org/bench", "retrieval"): 80.34,
        ("mteb/BIOSSES", "BIOSSES"): 50.0,
        ("mteb/STS16", "STS16"): 50.0,
    }
    entry = found["org/bench", "retrieval"]
    assert (entry.dataset_revision, entry.notes, entry.date) == ("abc", "nDCG@10", None)
    assert (entry.source_name, entry.source_url) == (None, None)  # the embedded Hub has another port next time
    assert "127.0.0.1" not in place.read_text() + run.hub.card(released)


def test_a_score_for_leaderboards_has_its_day() -> None:
    score = {"dataset_type": "mteb/b", "dataset_revision": "abc", "task_name": "B_default_test", "metric_value": 0.5}
    text = Hub("http://127.0.0.1:1").eval_results(
        [score | {"metric_name": "m"}], Ref("dataset", "org/results", "1" * 40), "2026-01-31"
    )
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    assert (entry.task_id, entry.date, entry.value) == ("B_default_test", "2026-01-31", 50.0)


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("https://huggingface.co", "https://huggingface.co"),
        ("https://user:PW@hub.example:8443/x", "https://hub.example:8443/x"),
        ("http://localhost:8000", ""),
        ("http://127.0.0.1:41235", ""),
        ("http://[::1]:80", ""),
    ],
)
def test_leaderboards_link_to_hubs_that_others_can_reach(endpoint: str, address: str) -> None:
    score = {"dataset_type": "org/b", "dataset_revision": "abc", "task_name": "t", "metric_value": 0.5}
    text = Hub(endpoint).eval_results([score | {"metric_name": "m"}], Ref("dataset", "org/results", "1" * 40))
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    assert entry.source_url == (f"{address}/datasets/org/results/tree/{'1' * 40}" if address else None)


def test_without_tasks_of_mteb_the_papers_are_not_there(made: Callable[..., Made]) -> None:
    run = made()
    text = run.hub.card(run.release().embedder)
    assert "SPEED, synthetic" not in text and "mean over" not in text and "## Scores of v1.0" in text


def test_a_tag_is_never_moved(made: Callable[..., Made]) -> None:
    run = made()
    run.release()
    first = run.hub.find("model", "org/speed-embedder", "v1.0")
    run.recipe = run.recipe.model_copy(update={"rng_seed": 7})
    run.stages(SCORES)
    with pytest.raises(HubError, match="has it already"):
        run.release()
    assert run.hub.find("model", "org/speed-embedder", "v1.0") == first
    assert run.release("v1.1").embedder != first
    HfApi(endpoint=run.hub.endpoint).create_branch("org/speed-seed", branch="next", repo_type="dataset")
    for bad in ("run-1234", "content-1", "a b", "-x", "", "main", "HEAD", "1234567", "DeadBeef", "a" * 40, "next"):
        with pytest.raises(RecipeError, match="not a tag for a release") as told:
            run.release(bad)
        assert told.value.expected == "for example v1.0"
    assert all(manifest.TAG.fullmatch(good) for good in ("main-2", "HEAD.1", "123456", "a" * 41, "1.0.0-rc1"))


def test_repositories_that_are_public_already_are_named(made: Callable[..., Made]) -> None:
    run = made()
    run.session = replace(run.session, hub=Hub(run.hub.endpoint, private=True))
    assert run.release().notes == ["repositories that exist stay as they are: 4 are public"]
    run.session = replace(run.session, hub=Hub(run.hub.endpoint, private=False))
    assert run.release().notes == []


def test_an_unfinished_run_is_not_released(made: Callable[..., Made]) -> None:
    run = made()
    run.recipe = run.recipe.model_copy(update={"rng_seed": 8})
    with pytest.raises(RecipeError, match="nothing of it is on"):
        run.release()


def test_a_conflict_of_licences_stops_it_unless_it_is_said(made: Callable[..., Made]) -> None:
    run = made(base_licence="cc-by-nc-4.0")
    with pytest.raises(RecipeError, match="more permissive") as told:
        run.release()
    assert "org/base" in told.value.got and "no commercial use" in told.value.got and "bench" not in told.value.got
    assert run.hub.find("dataset", "org/speed-results", "v1.0") is None  # nothing was written
    text = run.hub.card(run.release(allow_conflict=True).embedder)
    assert "**Conflict:** org/base" in text and "| `cc-by-nc-4.0` |" in text
    # A licence that keeps the duties needs no new run.
    run.recipe = run.recipe.model_copy(update={"license": "cc-by-nc-4.0"})
    text = run.hub.card(run.release("v2.0").embedder)
    assert "Conflict" not in text and ModelCard(text).data.license == "cc-by-nc-4.0"
    assert "## Licence\n\n`cc-by-nc-4.0`. And so on." in text  # and what was said of another licence is gone


def test_the_recipes_word_on_a_labelled_set_counts_whatever_its_card_says(made: Callable[..., Made]) -> None:
    run = made()
    ref = Ref("dataset", "org/pairs", "")
    pairs = run.publish(ref, {"license": "apache-2.0"}, {}, "content-1")
    labelled = {"repo": "pairs", "instruction": "find", "license": "CC-BY-NC-4.0", "negative": "negative"}
    whole = run.recipe.model_dump()
    run.recipe = Recipe.model_validate(
        whole | {"rng_seed": 7, "embedder": whole["embedder"] | {"labelled": [labelled]}}
    )
    run.stages(SCORES)
    with pytest.raises(RecipeError, match="more permissive") as told:
        run.release()
    assert told.value.got == f"{pairs} is cc-by-nc-4.0, which asks for no commercial use; apache-2.0 does not"
    text = run.hub.card(run.release(allow_conflict=True).embedder)
    assert f"| `{pairs}` | `cc-by-nc-4.0` |" in text and f"| `{pairs}` | `apache-2.0` |" in text


def test_an_input_without_a_licence_is_told(made: Callable[..., Made]) -> None:
    released = made(base_licence="").release()
    assert len(released.notes) == 1 and "org/base" in released.notes[0] and "states no licence" in released.notes[0]
