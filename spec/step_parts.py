"""What a training step consists of: one card for each part, by which the operations of a profile are sorted."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["IDLE", "INPUT", "OTHER", "PYTHON", "STEP_PARTS", "StepPart", "part_named", "part_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPart:
    """One part of a step.

    Attributes:
        name: What documents call it.
        label: Name for people.
        operations: Regular expression of names of PyTorch's operations, of CUDA's calls and of kernels; empty where it
            is time without any.
    """

    name: str
    label: str
    operations: str


STEP_PARTS: tuple[StepPart, ...] = (
    StepPart(
        name="communication",
        label="exchange between devices",
        operations=r"nccl|gloo|c10d|all_?reduce|all_?gather|reduce_scatter|broadcast_coalesced",
    ),
    StepPart(
        name="waiting",
        label="waiting for the GPU",
        operations=r"cuda(Stream|Device|Event)Synchronize",
    ),
    StepPart(
        name="loss",
        label="loss",
        operations=r"log_?softmax|nll_loss|cross_entropy|logsumexp|kl_div|smooth_l1|mse_loss|logcumsumexp",
    ),
    StepPart(
        name="attention",
        label="attention",
        operations=r"scaled_dot_product|flash|fmha|efficient_attention|cudnn_attention|softmax",
    ),
    StepPart(
        name="products",
        label="matrix products",
        operations=r"(^|_|:)(add)?(b?mm|mv|linear|matmul)\b|baddbmm|convolution|gemm|gemv|cutlass|xmma|mkldnn|onednn|nvjet|"
        r"einsum|_int_mm|quantize|4bit|8bit",
    ),
    StepPart(
        name="norms",
        label="norms of states",
        operations=r"layer_?norm|rms_?norm|group_?norm|batch_?norm|rsqrt",
    ),
    StepPart(
        name="optimizer",
        label="clipping and optimizer",
        operations=r"_foreach|_fused_adam|fused_adam|multi_tensor|addcmul|addcdiv|lerp|vector_norm|adamw?_|Optimizer\.",
    ),
    StepPart(
        name="lookups",
        label="embeddings and indexing",
        operations=r"embedding|index|gather|scatter|\btake\b|nonzero|sort|unique|one_hot",
    ),
    StepPart(
        name="copies",
        label="copies",
        operations=r"copy|memcpy|memset|::to\b|::cat\b|CatArray|contiguous|clone|fill|zero|empty|::pad\b|constant_pad|"
        r"resize|stack|::item\b|_local_scalar|repeat|roll|resolve_",
    ),
    StepPart(
        name="elementwise",
        label="elementwise",
        operations=r"elementwise|vectorized|reduce_kernel|::_?(add|sub|rsub|mul|div|neg|pow|sqrt|exp|log|abs|clamp|sum|mean|"
        r"max|min|amax|amin|any|all|std|var|where|masked|gelu|silu|relu|tanh|sigmoid|softplus|(native_)?dropout|bernoulli|sin|cos|eq|"
        r"ne|lt|le|gt|ge|bitwise|logical|isfinite|isnan|isinf|cumsum|arange|tri[ul]|threshold|hardtanh|normal|uniform|"
        r"reciprocal|square|erf|argmax|argmin|norm|linspace|full|ones|maximum|minimum|floor|ceil|round|sign|random)",
    ),
    StepPart(
        name="bookkeeping",
        label="views and autograd",
        operations=r"autograd::|Backward\d*$|AccumulateGrad|::(t|numpy_T|transpose|view|_?reshape|as_strided|expand|slice|select|"
        r"permute|unsqueeze|squeeze|detach|split|narrow|alias|unbind|chunk|flatten|_unsafe_view|lift|result_type|movedim)",
    ),
    StepPart(
        name="launches",
        label="launches of kernels",
        operations=r"cudaLaunch|cuLaunch|cudaFuncGetAttributes|cudaOccupancy|cudaMalloc|cudaFree|cudaGet|cudaPeek|cudaEvent",
    ),
)
"""In the order in which an operation is looked for; what none of them has is `OTHER`."""
OTHER = StepPart(name="other", label="other operations", operations="")
INPUT = StepPart(name="input", label="fetching rows", operations="")
PYTHON = StepPart(name="python", label="Python between operations", operations="")
IDLE = StepPart(name="idle", label="the GPU does nothing", operations="")


def part_of(operation: str) -> StepPart:
    """The part that an operation belongs to, by its name."""
    return next((one for one in STEP_PARTS if re.search(one.operations, operation, re.IGNORECASE)), OTHER)


def part_named(name: str) -> StepPart:
    """The part of a name in a document."""
    return next(one for one in (*STEP_PARTS, OTHER, INPUT, PYTHON, IDLE) if one.name == name)
