"""Text embeddings by a SentenceTransformer, for `hub-speed quality --model`."""

from collections.abc import Callable

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from hub_speed.errors import RecipeError

_PLAIN = {"use_safetensors": True, "dtype": torch.float32}


def encoder(name: str) -> Callable[[list[str]], np.ndarray]:
    """A function that embeds texts, without an instruction, as unit vectors of shape (texts, dimensions).

    Args:
        name: a model on the Hub, or a folder.

    Raises:
        RecipeError: the model cannot be loaded.
    """
    try:
        model = SentenceTransformer(name, trust_remote_code=False, model_kwargs=_PLAIN)
    except (OSError, ValueError) as error:
        raise RecipeError(f"--model {name}: cannot be loaded", got=str(error).splitlines()[0][:300]) from error
    return lambda texts: model.encode(texts, prompt="", normalize_embeddings=True, show_progress_bar=False)
