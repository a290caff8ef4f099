"""The embedder in other forms, each compared with the embedder itself before it is published.

onnx/     the transformer as ONNX, for onnxruntime, text-embeddings-inference and transformers.js; pooling is theirs
static/   one vector for each token, the mean of which stands for a text (model2vec): fast, and worse

The same vectors are expected of ONNX. A static model has vectors of its own: what is said of it is how well it ranks.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from hub_speed.errors import StageError
from hub_speed.record import Json
from hub_speed.training.embedder.backbone import saved, transformer_of

ALIKE = 0.9999
"""The least cosine of an ONNX vector and the embedder's own. Assumption: rounding alone moves the fifth digit."""
STATIC_DIMENSIONS = 256
"""Of a static model: model2vec's default."""
EXTRA = "pip install 'hub-speed[export]'"


def export(folder: Path, forms: Sequence[str], texts: list[str]) -> list[Json]:
    """Write each form into the folder of an embedder; returns form, folder, measure and value of each.

    Args:
        folder: of the embedder.
        forms: "onnx" and "static".
        texts: to compare the forms on.

    Raises:
        StageError: a package is missing, the base cannot be exported, or ONNX gives other vectors.
    """
    make = {"onnx": _onnx, "static": _static}
    return [make[form](folder, texts) for form in forms]


class _States(nn.Module):
    """A transformer with tensors in, and the states of the last layer out."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        found: Tensor = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return found


def _onnx(folder: Path, texts: list[str]) -> Json:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError as error:
        raise _missing("onnx", error) from error
    model = saved(folder, "cpu", torch.float32)
    file = folder / "onnx" / "model.onnx"
    file.parent.mkdir()
    transformer_of(model).auto_model.set_attn_implementation("eager")
    names, batch = ("input_ids", "attention_mask"), model.preprocess(texts[:2])
    size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(
        _States(transformer_of(model).auto_model).eval(),
        tuple(batch[name] for name in names),
        input_names=list(names),
        output_names=["last_hidden_state"],
        dynamic_shapes=dict.fromkeys(names, size),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(str(file), external_data=False)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    ours, theirs = model.encode(texts, convert_to_tensor=True), _through(model, session, texts)
    least = float(nn.functional.cosine_similarity(ours, theirs).min())
    if least < ALIKE:
        raise StageError(
            "embedder.exports: the ONNX model gives other vectors",
            expected=f"a cosine of at least {ALIKE} with the embedder's own",
            got=f"{least:.5f}",
            fix="leave onnx out of embedder.exports",
        )
    return {"form": "onnx", "folder": "onnx", "measure": "least cosine with the embedder's own vectors", "value": least}


@torch.inference_mode()
def _through(model: SentenceTransformer, session: object, texts: list[str]) -> Tensor:
    """The vectors of texts, whose states come from an ONNX session; pooling and all after it are the embedder's."""
    vectors = []
    for text in texts:
        batch = model.preprocess([text])
        inputs = {name: batch[name].numpy() for name in ("input_ids", "attention_mask")}
        batch["token_embeddings"] = torch.from_numpy(session.run(None, inputs)[0])  # type: ignore[attr-defined]
        for module in list(model)[1:]:
            batch = module(batch)
        vectors.append(batch["sentence_embedding"][0])
    return torch.stack(vectors)


def _static(folder: Path, texts: list[str]) -> Json:
    try:
        from model2vec.distill import distill_from_model
    except ImportError as error:
        raise _missing("static", error) from error
    model = saved(folder, "cpu", torch.float32)
    dimension = min(STATIC_DIMENSIONS, model.get_embedding_dimension() or STATIC_DIMENSIONS)
    static = distill_from_model(transformer_of(model).auto_model, model.tokenizer, pca_dims=dimension, device="cpu")
    static.save_pretrained(str(folder / "static"))
    (folder / "static" / "README.md").unlink(missing_ok=True)  # the embedder's card describes it
    cosines = [_cosines(np.asarray(each.encode(texts), np.float64)) for each in (model, static)]
    value = float(spearmanr(*cosines).statistic)
    return {"form": "static", "folder": "static", "measure": "Spearman of all texts' cosines", "value": value}


def _cosines(vectors_ND: np.ndarray) -> np.ndarray:
    """The cosine of every two different vectors, as one row."""
    unit_ND = vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
    found: np.ndarray = (unit_ND @ unit_ND.T)[np.triu_indices(len(unit_ND), 1)]
    return found


def _missing(form: str, error: ImportError) -> StageError:
    return StageError(f"embedder.exports: {form} needs a package that is missing", got=str(error), fix=EXTRA)
