"""An embedder in other forms, compared with itself."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("model2vec")

from hub_speed.errors import StageError  # noqa: E402
from hub_speed.training.embedder import backbone, exports  # noqa: E402

TEXTS = ["the fox", "quick brown fox jumps over the lazy dog", "dog", "lazy and brown", "over the fox"]


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_onnx_gives_the_same_vectors_and_a_static_model_says_how_well_it_ranks(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = backbone.embedder(request.getfixturevalue(kind), 24)
    backbone.publish(model, tmp_path / "out")
    onnx, static = exports.export(tmp_path / "out", ["onnx", "static"], TEXTS)
    assert onnx["value"] > 0.9999 and (tmp_path / "out" / "onnx" / "model.onnx").is_file()
    assert -1 <= static["value"] <= 1 and not list((tmp_path / "out" / "static").glob("*.md"))
    again = backbone.saved(tmp_path / "out", "cpu")  # the other forms do not disturb the first
    assert np.allclose(again.encode(TEXTS), model.encode(TEXTS), atol=1e-5)
    if kind == "encoder":
        monkeypatch.setattr(exports, "_through", lambda model, session, texts: torch.ones(len(texts), 32))
        (tmp_path / "out" / "onnx" / "model.onnx").unlink()
        (tmp_path / "out" / "onnx").rmdir()
        with pytest.raises(StageError, match="other vectors"):
            exports.export(tmp_path / "out", ["onnx"], TEXTS)
