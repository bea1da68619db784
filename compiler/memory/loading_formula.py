"""What passes through memory while a model is loaded, beside its weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ftc.compiler.memory.evaluation_formula import Moment
from ftc.compiler.memory.vision_formula import vision_weights
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.quantized_files import DEQUANTIZING_BYTES

if TYPE_CHECKING:
    from ftc.compiler.memory.memory_formula import MemoryInputs

__all__ = ["dequantizing_bytes", "loading_moment"]

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
    own = 2 * widest + wider + (0 if job.on_card else dequantizing_bytes(job.model))
    taught = job.taught.loading if job.taught else 0  # when the model is there already
    return {"optimiser state": 0, "workspace": 0, "temporaries": max(own, taught)}


def dequantizing_bytes(model: ModelFacts) -> int:
    """What passes through host RAM while the largest weight is dequantized; a GPU gets the weights when all are."""
    if model.quantized_files is None or model.packed is not None:
        return 0
    matrices = [inputs * outputs for inputs, outputs in model.linear_modules.values()]
    if model.experts is not None:
        matrices += [model.experts.count * ins * outs for ins, outs in model.expert_matrices.values()]
    return DEQUANTIZING_BYTES * max(matrices, default=0)
