"""A larger embedder's vectors, and a training on relabelled rows that learns them and a reranker's scores."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_training import embedder_settings as settings  # noqa: E402
from tiny_training import some_rows, write  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from hub_speed.training.embedder import backbone, batching, contrastive, teacher  # noqa: E402


@pytest.fixture
def larger(decoder: Path, tmp_path: Path) -> Path:
    backbone.embedder(decoder, 24).save_pretrained(str(tmp_path / "larger"), create_model_card=False)
    return tmp_path / "larger"


def test_each_text_gets_its_vector_once_and_few_dimensions_keep_the_angles(
    larger: Path, encoder: Path, tmp_path: Path
) -> None:
    rows = some_rows(40)
    examples, _ = batching.encode(rows, AutoTokenizer.from_pretrained(encoder), 24)
    numbered, vectors = teacher.targets(rows, examples, larger, 32, "natural", tmp_path / "work")
    model = backbone.saved(larger, "cpu")
    for row, example in zip(rows[:5], numbered, strict=False):
        texts = [batching.asked(row, "natural"), row["positive"], *filter(None, [row["negative"]])]
        assert np.allclose(vectors[list(example.targets)], model.encode(texts, normalize_embeddings=True), atol=2e-3)
    assert len(vectors) < sum(len(example.texts) for example in examples)
    _, few = teacher.targets(rows, examples, larger, 16, "natural", tmp_path / "work")
    assert few.shape[1] == 16
    wide, narrow = ((v.float() @ v.float().T)[np.triu_indices(len(v), 1)].numpy() for v in (vectors, few))
    assert np.corrcoef(wide, narrow)[0, 1] > 0.9
    (tmp_path / "gone").mkdir()
    _, kept = teacher.targets(rows, examples, tmp_path / "gone", 16, "natural", tmp_path / "work")
    assert torch.equal(kept, few)  # not embedded again


def test_relabelled_rows_train_with_all_their_texts_and_both_teachers(
    encoder: Path, larger: Path, tmp_path: Path
) -> None:
    rows = [
        row
        | {
            "negative": None,
            "positives": [row["positive"], "the fox"][: 1 + i % 2],
            "negatives": ["dog", "lazy"][i % 3 :],
        }
        for i, row in enumerate(some_rows(24))
    ]
    for row in rows:
        row |= {"positive_scores": [0.9] * len(row["positives"]), "negative_scores": [0.2] * len(row["negatives"])}
    changes = {"data": write(rows, tmp_path / "data"), "distil": 0.5, "teacher": larger, "epochs": 6, "batch_size": 24}
    how = settings(encoder, tmp_path, **changes)
    measures = contrastive.train(how)
    curve = [loss for _, loss in measures["loss_curve"]]
    assert measures["rows"] == 24 and curve[-1] < curve[0]
