"""What all sections of a recipe have in common."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hub_speed.errors import did_you_mean

MINER = "intfloat/multilingual-e5-base"
"""What E5 mines hard negatives with (App. A). Its card asks for prompts; the model keeps none."""


def usual_prompts(searcher: str) -> tuple[str, str]:
    """What is put before queries and documents for an embedder that keeps no prompts itself."""
    return ("query: ", "passage: ") if searcher.partition("@")[0] == MINER else ("", "")


Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""How often a value is drawn beside the others."""


class Section(BaseModel):
    """A group of recipe fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def as_weights(choices: Any) -> dict[str, Any]:
    """A mapping value → weight; of a list, or of a single value, all weigh alike."""
    if isinstance(choices, dict):
        return {str(choice): weight for choice, weight in choices.items()}
    names = [str(choice) for choice in (choices if isinstance(choices, list) else [choices])]
    check_once(names)
    return dict.fromkeys(names, 1.0)


def check_once(values: Sequence[str]) -> None:
    """Raise ValueError where a value is there twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r:.40} is there {values.count(value)} times")


def unknown(where: str, name: str, known: list[str]) -> str:
    """What to say of a name that is none of those that are known."""
    near = did_you_mean(name, known)
    names = f"the {len(known)} known names" if near and len(known) > 20 else ", ".join(known)
    return f"{where}: {name} is not one of {names}{'; ' if near else ''}{near}"
