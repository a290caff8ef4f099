"""Runs a module as one of several processes over which the weights are spread, on processors.

    accelerate launch --config_file docs/accelerate/fsdp2.yaml --num_processes 2 tests/spread_on_cpu.py -m MODULE FILE

accelerate turns FSDP and DeepSpeed on for GPUs alone. Here they are on for processors as well; how weights are spread,
gathered and saved is theirs, over gloo.
"""

import os
import runpy
import sys
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

_partial, _whole = PartialState.__init__, AcceleratorState.__init__


def _with_fsdp(self: AcceleratorState, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
    known = bool(AcceleratorState._shared_state)
    _whole(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin and not known:
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin


def _with_deepspeed(self: PartialState, cpu: bool = False, **kwargs: Any) -> None:
    _partial(self, cpu=False, **kwargs)


if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
    os.environ["DS_ACCELERATOR"] = "cpu"
    PartialState._prepare_backend = lambda self, *args: ("gloo", DistributedType.MULTI_CPU)  # type: ignore[method-assign]
    PartialState.__init__ = _with_deepspeed  # type: ignore[method-assign]
else:
    AcceleratorState.__init__ = _with_fsdp  # type: ignore[method-assign]
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
