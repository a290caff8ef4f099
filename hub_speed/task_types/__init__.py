"""The six task types. Every module of this folder that defines `TASK_TYPE` is one; the listing is the registry."""

from importlib import import_module
from pkgutil import iter_modules

from hub_speed.task_types.base import Answer, Draw, TaskType

_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]

TASK_TYPES: dict[str, TaskType] = {
    module.TASK_TYPE.name: module.TASK_TYPE for module in _MODULES if hasattr(module, "TASK_TYPE")
}

__all__ = ["TASK_TYPES", "Answer", "Draw", "TaskType"]
