"""Tiny base models, made once for all tests of training."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch").set_num_threads(1)
    from tiny_models import make_model

    return make_model(tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch").set_num_threads(1)
    from tiny_models import make_encoder

    return make_encoder(tmp_path_factory.mktemp("encoder"))
