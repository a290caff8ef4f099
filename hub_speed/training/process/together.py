"""Processes that train one model together (`runtime.launcher`): which one this is, and what they exchange.

Every process holds all weights. It works on its share of a batch, and the gradients of all are added up.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed
from torch import Tensor, nn


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process writes what all have made."""
    return _rank() == 0


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def share(count: int) -> slice:
    """The part of so many things that is this process's: every n-th one, of n processes.

    Where there are fewer things than processes, those that would have none get the first one; `all_rows` leaves it out.
    """
    return slice(_rank(), None, processes()) if _rank() < count else slice(0, 1)


def all_rows(mine_SD: Tensor, count: int) -> Tensor:
    """All `count` rows, of which each process has its `share`; only one's own have a gradient."""
    if processes() == 1:
        return mine_SD
    most = -(-count // processes())
    mine_PD = torch.cat([mine_SD, mine_SD.new_zeros(most - len(mine_SD), mine_SD.shape[1])])
    parts = [torch.empty_like(mine_PD) for _ in range(processes())]
    torch.distributed.all_gather(parts, mine_PD.detach())
    parts[_rank()] = mine_PD
    return torch.stack(parts, dim=1).flatten(0, 1)[:count]


def start_alike(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the first one's weights."""
    if processes() > 1:
        for parameter in parameters:
            torch.distributed.broadcast(parameter.data, 0)


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up the gradients of all processes; a weight that a process did not use has none there."""
    if processes() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        torch.distributed.all_reduce(parameter.grad)
