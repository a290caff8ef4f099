"""What is on the Hub is pinned, and access to it asked for, before the first call is paid for."""

from pathlib import Path
from typing import Any

import pytest
from hub_proxy import Proxy, account, proxied
from huggingface_hub import HfApi

from hub_speed.errors import HubError, NotFound
from hub_speed.hub import RECORD, Hub
from hub_speed.localhub import LocalHub
from hub_speed.parquet import write_parquet
from hub_speed.pipeline import run as pipeline
from hub_speed.pipeline.plan import at_last_yield, pin, pin_repo, plan
from hub_speed.pipeline.session import Session
from hub_speed.pipeline.table import STAGES, wanted
from hub_speed.recipe import Recipe
from hub_speed.record import Ref, RunRecord, fingerprint_of, tag_of
from hub_speed.rows import TopicRow
from hub_speed.stage import FromHub

PAIRS = {"repo": "org/pairs", "instruction": "find", "license": "mit"}
RECIPE = {
    "name": "toy",
    "teacher": {"model": "m"},
    "brainstorm": {"topics": "org/topics"},
    "embedder": {"base_model": "org/base", "data": "seed", "labelled": [PAIRS], "miner_model": "org/miner"},
    "evaluate": {"benchmarks": ["org/bench"]},
    "audit": {"rows": 0},
    "scaling": {"sizes": []},
}
INPUTS = {"org/topics": "dataset", "org/base": "model", "org/pairs": "dataset", "org/miner": "model"} | {
    "org/bench": "dataset"
}
STAGE_OF = {"org/topics": "brainstorm", "org/base": "embedder", "org/pairs": "embedder", "org/miner": "embedder"} | {
    "org/bench": "evaluate"
}


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(RECIPE | changes)


def nobody(*_: Any) -> Any:
    raise AssertionError("a model was asked for")


def publish(
    hub: Hub, folder: Path, kind: Any, repo: str, text: str = "---\nlicense: mit\n---\n", tag: str = "v1"
) -> Ref:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(text, "utf-8")
    return hub.publish(kind, repo, folder, message="x", tag=tag)


@pytest.fixture
def session(local: LocalHub, tmp_path: Path) -> Session:
    """A session in which nobody may be asked, with all inputs on the Hub."""
    hub = Hub(str(local.endpoint))
    write_parquet([{"topic": "Arts"}], TopicRow, tmp_path / "org/topics")
    for repo, kind in INPUTS.items():
        publish(hub, tmp_path / repo, kind, repo)
    return Session(hub, "org", tmp_path / "home", nobody)


def finish(session: Session, folder: Path, *stages: str) -> None:
    """Publish stages as if they had run."""
    done: dict[str, Ref] = {}
    for s in wanted(recipe()):
        if s.name in stages:
            refs = pin(s, recipe(), session, done)
            identity = s.identity(recipe(), refs)
            tag = tag_of(fingerprint_of(identity))
            record = RunRecord(
                stage=s.name, fingerprint=tag[4:], recipe="toy", identity=identity, inputs=refs, lineage={}
            )
            (folder / s.name).mkdir(parents=True)
            (folder / s.name / RECORD).write_text(record.model_dump_json(), "utf-8")
            done[s.name] = publish(session.hub, folder / s.name, s.kind, s.repo("org"), tag=tag)


def test_a_plan_pins_everything_once_for_the_whole_session(session: Session, tmp_path: Path) -> None:
    steps = plan(recipe(), session)
    assert [step.why for step in steps] == ["new", "after brainstorm", "after seed", "after embedder"]
    assert not any(step.problem for step in steps)
    before = pin_repo(FromHub("model", "org/base"), session)
    publish(session.hub, tmp_path / "org/base", "model", "org/base", "apache-2.0", tag="v2")
    assert pin_repo(FromHub("model", "org/base"), session) == before == session.hub.find("model", "org/base", "v1")


@pytest.mark.parametrize("repo", INPUTS)
def test_what_is_missing_is_planned_and_stops_a_run_before_anybody_is_asked(session: Session, repo: str) -> None:
    """Today's base model may be needed a week from now; it has to be there now."""
    HfApi(endpoint=session.hub.endpoint).delete_repo(repo, repo_type=INPUTS[repo])
    steps = {step.stage.name: step for step in plan(recipe(), session)}
    assert [name for name, step in steps.items() if step.problem] == (
        ["embedder", "evaluate"] if repo in ("org/base", "org/bench") else [STAGE_OF[repo]]  # rows are checked as well
    )
    problem = steps[STAGE_OF[repo]].problem
    assert problem and f"{INPUTS[repo]} {repo}: not found on" in problem.where == steps[STAGE_OF[repo]].why
    with pytest.raises(NotFound, match=f"{repo}: not found on"):
        pipeline.run(recipe(), session)
    if STAGE_OF[repo] != "brainstorm":  # a run that does not need it does not ask for it
        with pytest.raises(AssertionError, match="a model was asked for"):
            pipeline.run(recipe(), session, only="brainstorm")


def test_who_may_not_publish_is_told_before_anybody_is_asked(session: Session) -> None:
    with proxied(session.hub.endpoint, account("write", "other", create=403)) as url:
        session.hub = Hub(url)
        with pytest.raises(HubError, match="ada may not write to org"):
            pipeline.run(recipe(), session)


@pytest.mark.parametrize("repo", INPUTS)
def test_a_gated_input_without_access_stops_a_run_before_anybody_is_asked(session: Session, repo: str) -> None:
    HfApi(endpoint=session.hub.endpoint).update_repo_settings(repo, repo_type=INPUTS[repo], gated="manual")

    def gate(request: Proxy) -> bool:
        if f"/{repo}/auth-check" not in request.path:
            return False
        request.send_response(403)
        request.send_header("X-Error-Code", "GatedRepo")
        request.send_header("Content-Length", "0")
        request.send_header("Connection", "close")
        request.end_headers()
        return True

    with proxied(session.hub.endpoint, gate) as url:
        session.hub = Hub(url)
        problems = {step.stage.name: step.problem for step in plan(recipe(), session)}
        assert f"{INPUTS[repo]} {repo}: gated on" in str(problems[STAGE_OF[repo]])
        with pytest.raises(NotFound, match=f"{repo}: gated on"):
            pipeline.run(recipe(), session)


def test_a_stage_that_is_finished_needs_no_access_any_more(session: Session, tmp_path: Path) -> None:
    finish(session, tmp_path / "made", "brainstorm", "seed")
    HfApi(endpoint=session.hub.endpoint).update_repo_settings("org/topics", repo_type="dataset", gated="manual")
    with proxied(session.hub.endpoint, lambda request: 403 if "/auth-check" in request.path else False) as url:
        session.hub = Hub(url)
        assert [step.why for step in plan(recipe(), session)][:3] == ["cached", "cached", "new"]
        assert [result.cached for result in pipeline.run(recipe(), session, only="seed")] == [True, True]
        with pytest.raises(HubError, match="answers 403"):  # asked for again, it needs it again
            plan(recipe(), session, again={"brainstorm"})


def test_a_plan_names_all_inputs_that_a_stage_lacks(session: Session) -> None:
    for repo in ("org/pairs", "org/miner"):
        HfApi(endpoint=session.hub.endpoint).delete_repo(repo, repo_type=INPUTS[repo])
    (why,) = [step.why for step in plan(recipe(), session) if step.problem]
    assert why.startswith("dataset org/pairs: not found on") and why.endswith("; missing as well: model org/miner")


def test_a_plan_about_documents_names_what_is_missing_for_a_later_stage(session: Session) -> None:
    there: dict[str, Any] = {"corpus": {"source": "org/pairs"}, "questions": {"generator": "teacher"}}
    there |= {name: {"embedder": "org/base"} for name in ("filter", "mine")} | {"relabel": {"reranker": "org/miner"}}
    there["embedder"] = {"base_model": "org/base", "data": "relabel"}
    for stage, section, given in (
        ("corpus", "corpus", {"source": "no/such"}),
        ("filter", "filter", {"embedder": "no/such"}),
        ("mine", "mine", {"embedder": "no/such"}),
        ("relabel", "relabel", {"reranker": "no/such"}),
        ("embedder", "embedder", {"teacher": "no/such"}),
        ("embedder", "embedder", {"merge": {"models": ["no/such"]}}),
        ("embedder", "decontaminate", {"against": ["no/such"]}),
    ):
        wanted = recipe(**there | {section: there.get(section, {}) | given})
        (step,) = [step for step in plan(wanted, session) if step.problem]
        assert (step.stage.name, "no/such: not found on" in step.why) == (stage, True)
        assert step.why.endswith("; there is no such folder either") == (section == "corpus")


def test_a_plan_ends_where_the_hub_ends(session: Session) -> None:
    """A Hub that does not answer is no reason to run a stage."""
    session.hub = Hub("http://127.0.0.1:9")
    with pytest.raises(HubError, match="does not answer") as caught:
        plan(recipe(), session)
    assert not isinstance(caught.value, NotFound) and caught.value.exit_code == 4


def test_a_plan_tells_what_a_run_brings_along(session: Session) -> None:
    api = HfApi(endpoint=session.hub.endpoint)
    for repo, kind in INPUTS.items():
        api.delete_repo(repo, repo_type=kind)
    mine = {"base_model": "base", "data": "seed"}
    offline = recipe(offline=True, brainstorm={"topics": "topics"}, embedder=mine, evaluate={"benchmarks": ["bench"]})
    assert not any(step.problem for step in plan(offline, session))
    steps = plan(recipe(offline=True, brainstorm={"topics": "/x/topics.txt"}), session)
    assert [step.stage.name for step in steps if step.problem] == ["embedder", "evaluate"]  # org/base is not brought


def test_a_plan_expects_the_yield_of_the_last_run(session: Session, tmp_path: Path) -> None:
    seed = STAGES["seed"]
    estimate = seed.estimate(recipe(), 10)
    assert at_last_yield(seed, estimate, session) == estimate  # nothing of it was run yet
    counts = {"rows_in": 100, "accepted": 60, "rejected": {"surplus": 20, "bad_json": 20}}
    record = RunRecord(stage="seed", fingerprint="0" * 12, recipe="toy", identity={}, inputs={}, lineage={}, **counts)
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / RECORD).write_text(record.model_dump_json(), "utf-8")
    publish(session.hub, tmp_path / "seed", "dataset", seed.repo("org"))
    found = at_last_yield(seed, estimate, session)
    assert (found.expected, found.rows, found.calls) == (0.8, estimate.rows, round(estimate.rows / 0.8))
    embedder = STAGES["embedder"].estimate(recipe(), 10)
    assert at_last_yield(STAGES["embedder"], embedder, session) == embedder
