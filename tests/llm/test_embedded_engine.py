"""The engine of the embedded server: what it samples, what it honours, and that batching changes nothing."""

from pathlib import Path

import pytest
from running import HANG_S

torch = pytest.importorskip("torch")

from tiny_models import make_model  # noqa: E402

from hub_speed.llm.embedded_engine import Engine, RunningAnswer, load  # noqa: E402
from hub_speed.llm.embedded_server import read_request  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine(*load(folder), batch=8)


def ask(engine: Engine, prompt: str, **body: object) -> list[RunningAnswer]:
    request = read_request({"prompt": prompt, "max_tokens": 12} | body, engine.tokenizer, engine.context, False)
    return engine.submit(request).result(timeout=HANG_S)


PROMPTS = ["the quick", "a", "lazy dog over the fox and over again", "jumps", "brown brown brown"]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_is_what_transformers_generates(engine: Engine, prompt: str) -> None:
    inputs = engine.tokenizer(prompt, return_tensors="pt")
    expected = engine.model.generate(**inputs, do_sample=False, max_new_tokens=12)[0, inputs.input_ids.shape[1] :]
    answer = ask(engine, prompt, temperature=0)[0]
    got = answer.tokens + ([2] if answer.finish_reason == "stop" else [])
    assert got == expected.tolist()


def test_a_seed_gives_the_same_answer_alone_and_in_a_crowd(engine: Engine) -> None:
    alone = [ask(engine, prompt, seed=i)[0].tokens for i, prompt in enumerate(PROMPTS)]
    requests = [
        read_request({"prompt": p, "max_tokens": 12, "seed": i}, engine.tokenizer, engine.context, False)
        for i, p in enumerate(PROMPTS * 8)
    ]
    crowd = [future.result(timeout=HANG_S)[0].tokens for future in [engine.submit(r) for r in requests]]
    assert crowd[: len(PROMPTS)] == alone
    assert len({tuple(tokens) for tokens in crowd}) > len(PROMPTS)  # other seeds, other answers


def test_samples_follow_the_model(engine: Engine) -> None:
    """The first tokens of many samples are distributed as the softmax says (chi-squared, fixed seeds)."""
    from scipy.stats import chisquare

    inputs = engine.tokenizer("the quick", return_tensors="pt")
    with torch.inference_mode():
        probs = torch.softmax(engine.model(**inputs).logits[0, -1].double(), -1).numpy()
    n, counts = 3000, {}
    answers = [ask_async(engine, "the quick", seed=i, n=30) for i in range(n // 30)]
    for future in answers:
        for answer in future.result(timeout=HANG_S):
            token = answer.tokens[0] if answer.tokens else 2
            counts[token] = counts.get(token, 0) + 1
    likely = [i for i, p in enumerate(probs) if p * n >= 8]
    observed = [counts.get(i, 0) for i in likely] + [n - sum(counts.get(i, 0) for i in likely)]
    expected = [probs[i] * n for i in likely] + [n - sum(probs[i] * n for i in likely)]
    assert chisquare(observed, expected).pvalue > 1e-3


def ask_async(engine: Engine, prompt: str, **body: object) -> object:
    request = read_request({"prompt": prompt, "max_tokens": 1} | body, engine.tokenizer, engine.context, False)
    return engine.submit(request)


def test_top_p_keeps_to_the_likeliest_tokens(engine: Engine) -> None:
    inputs = engine.tokenizer("lazy", return_tensors="pt")
    with torch.inference_mode():
        probs = torch.softmax(engine.model(**inputs).logits[0, -1], -1)
    ordered = probs.sort(descending=True)
    allowed = set(ordered.indices[: int((ordered.values.cumsum(0) < 0.5).sum()) + 1].tolist())
    answers = [ask_async(engine, "lazy", seed=i, n=20, top_p=0.5) for i in range(10)]
    drawn = {a.tokens[0] if a.tokens else 2 for future in answers for a in future.result(timeout=HANG_S)}
    assert drawn <= allowed and (len(drawn) > 1 or len(allowed) == 1)


def test_n_max_tokens_stop_and_context(engine: Engine) -> None:
    answers = ask(engine, "the", n=5, seed=3, max_tokens=4)
    assert len(answers) == 5 and all(len(a.tokens) <= 4 for a in answers)
    assert {a.finish_reason for a in answers} <= {"stop", "length"}
    text = engine.text(ask(engine, "the quick", temperature=0, max_tokens=10)[0])
    stop = text[2:4]
    cut = ask(engine, "the quick", temperature=0, max_tokens=10, stop=stop)[0]
    assert engine.text(cut) == text[: text.index(stop)] and cut.finish_reason == "stop"
    long = ask(engine, "the " * 40, max_tokens=500)[0]
    assert len(long.ask.tokens) + len(long.tokens) <= engine.context
