"""What passes through memory while a model is loaded, beside its weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ftc.compiler.memory.evaluation_formula import Moment
from ftc.compiler.memory.vision_formula import vision_weights
from ftc.spec.quantized_files import DEQUANTIZING_BYTES

if TYPE_CHECKING:
    from ftc.compiler.memory.memory_formula import MemoryInputs

__all__ = ["loading_moment"]

_FP32 = 4


def loading_moment(job: MemoryInputs) -> Moment:
    """Quantized weights are packed one by one; of the others each is there twice while it is made float32.

    What reads images is made float32 with them, and then the type of frozen weights again.
    """
    widest = wider = 0
    if job.quantized:
        packed = set(job.model.linear_modules)
        kept = (one for name, one in job.model.tensors.items() if name.removesuffix(".weight") not in packed)
        widest = max((math.prod(one.shape) for one in kept), default=0)
        wider = vision_weights(job.model) * (_FP32 - job.activation_bytes)
    return {"optimiser state": 0, "workspace": 0, "temporaries": 2 * widest + wider + _dequantizing(job)}


def _dequantizing(job: MemoryInputs) -> int:
    """What passes while the largest weight is dequantized; a GPU gets the weights when all are."""
    if job.model.quantized_files is None or job.model.packed is not None or job.on_card:
        return 0
    matrices = [inputs * outputs for inputs, outputs in job.model.linear_modules.values()]
    if job.model.experts is not None:
        matrices += [job.model.experts.count * ins * outs for ins, outs in job.model.expert_matrices.values()]
    return DEQUANTIZING_BYTES * max(matrices, default=0)
