"""The weights between several embedders, and a training that ends with them."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from tiny_models import make_encoder  # noqa: E402
from tiny_training import difference, refused, some_rows, write  # noqa: E402
from tiny_training import embedder_settings as settings  # noqa: E402

from hub_speed.recipe import Merge  # noqa: E402
from hub_speed.training.embedder import contrastive, merging  # noqa: E402
from hub_speed.training.process.settings import PinnedModel  # noqa: E402


def test_a_mean_and_an_arc_lie_between() -> None:
    one, other = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    assert torch.equal(merging.between(one, other, 0.25, "linear"), torch.tensor([[0.75, 0.5], [0.0, 0.0]]))
    half = 0.5**0.5
    assert torch.allclose(merging.between(one, other, 0.5, "slerp"), torch.tensor([[half, 2 * half], [0.0, 0.0]]))
    for share, end in ((0.0, one), (1.0, other)):
        assert torch.allclose(merging.between(one, other, share, "slerp"), end, atol=1e-6)
    assert torch.allclose(merging.between(one, 3 * one, 0.5, "slerp"), 2 * one)  # no arc between the two


def test_seeds_and_a_model_of_the_hub_become_their_mean_and_a_second_run_trains_none_again(
    encoder: Path, tmp_path: Path
) -> None:
    data = write(some_rows(24), tmp_path / "data")
    merge = Merge(seeds=(1, 2), models=("me/base",), weights=(1, 1, 2))
    base = (PinnedModel(folder=encoder, repo="me/base", commit="0" * 40),)
    how = settings(encoder, tmp_path, data=data, merge=merge, merged=base, lora_r=4, epochs=1)
    measures = contrastive.train(how)
    assert measures["merged"] == ["seed 1", "seed 2", "me/base@0000000"] and measures["rows"] == 24
    parts = [load_file(folder / "model.safetensors") for folder in (how.work / "trained-1", how.work / "trained-2")]
    whole, untrained = load_file(how.out / "model.safetensors"), load_file(encoder / "model.safetensors")
    assert difference(how.work / "trained-1", how.work / "trained-2") > 1e-4
    for name, value in whole.items():
        expected = (parts[0][name] + parts[1][name]) / 4 + untrained[name] / 2
        assert torch.allclose(value, expected, atol=1e-6), name
    vectors = SentenceTransformer(str(how.out), device="cpu").encode_query(["the fox"])
    assert vectors.shape == (1, 32) and not (how.out / "adapter").exists()
    again = how.model_copy(update={"out": tmp_path / "again", "base": how.base.model_copy(update={"folder": tmp_path})})
    assert contrastive.train(again) == measures and difference(how.out, again.out) == 0  # with no base to train


def test_embedders_that_are_not_alike_are_refused(encoder: Path, decoder: Path, tmp_path: Path) -> None:
    data = write(some_rows(8), tmp_path / "data")
    other = (PinnedModel(folder=decoder, repo="me/llama", commit="1" * 40),)
    how = settings(encoder, tmp_path, data=data, merge=Merge(models=("me/llama",)), merged=other, epochs=1)
    error = refused(contrastive, how)
    assert "me/llama@1111111 is not like seed 42" in error.where and "weights differ" in str(error.got)
    pooled = make_encoder(tmp_path / "wider", vocab_size=30)
    assert "(30, 32)" in str(
        refused(contrastive, how.model_copy(update={"merged": (other[0].model_copy(update={"folder": pooled}),)})).got
    )
