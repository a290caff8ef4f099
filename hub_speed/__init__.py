"""Training data for text embedders, made with small aligned models (SPEED), and the embedders themselves.

    import hub_speed

    with hub_speed.open_hub() as hub:
        recipe = hub_speed.load_recipe("quickstart")
        results = hub_speed.run(recipe, hub)
        rows = list(hub_speed.load_rows(results[-1].ref.repo, hub))

The functions are described in `hub_speed.api`, which is loaded at the first use of one of them.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hub_speed.api import generate, load_recipe, load_rows, open_hub, plan, quality, run

__all__ = ["__version__", "generate", "load_recipe", "load_rows", "open_hub", "plan", "quality", "run"]


def __getattr__(name: str) -> Any:
    """The public functions, loaded at their first use."""
    if name in __all__:
        from hub_speed import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
