"""Peak memory of a run from shapes alone: pure arithmetic, no framework, microseconds.

Each term says what is held and why. T is the number of tokens in the longest padded micro-batch, h the hidden size,
f the width of the feed-forward layer, H and K the widths of queries and of keys (heads times head size), e the bytes
of an activation. Terms follow what autograd keeps for the backward pass of the modules in transformers with fused
attention, which saves its inputs, its output and no scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ftc.spec.facts import ModelFacts
from ftc.spec.memory import PhasePeak

__all__ = ["Job", "Method", "Usage", "estimate"]

Method = Literal["closed form", "trace"]

_FP32 = 4
_GATED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "smollm3", "olmo2", "granite")


@dataclass(frozen=True, slots=True)
class Job:
    """What decides about memory.

    Attributes:
        model: The base model.
        trained_linear: Linear layers that have an adapter, by name: (inputs, outputs).
        rank: Rank of the adapter, or width of its middle; 0 where there is none.
        is_adapter: Whether what is trained lies beside the base's weights.
        num_trainable: Weights that are trained.
        state_bytes: What the optimiser keeps on the device.
        head_width: Outputs of the last layer: vocabulary or labels.
        head_rows: Rows of logits that are computed for one micro-batch.
        tokens: Tokens in the longest padded micro-batch.
        weight_bytes: Bytes of one frozen weight: 4, 2 or about 0.56 for 4-bit weights with their scales.
        activation_bytes: Bytes of one activation.
        checkpointing: Whether activations are recomputed.
        accumulates: Whether gradients of earlier micro-batches are held while others are computed.
        layers_kept: Layers whose activations the backward pass needs; None for all.
        residual_bytes: Bytes of an element between layers; 4 where 4-bit training keeps norms in float32.
    """

    model: ModelFacts
    trained_linear: dict[str, tuple[int, int]]
    rank: int
    is_adapter: bool
    num_trainable: int
    state_bytes: int
    head_width: int
    head_rows: int
    tokens: int
    weight_bytes: float
    activation_bytes: int
    checkpointing: bool
    accumulates: bool = False
    residual_bytes: int | None = None
    layers_kept: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Peaks by phase."""

    phases: tuple[PhasePeak, ...]

    @property
    def peak_bytes(self) -> int:
        """The largest of them."""
        return max(phase.peak_bytes for phase in self.phases)


def estimate(job: Job) -> Usage:
    """The two peaks that a training step has: start of the backward pass, and optimiser step."""
    fixed = {
        "weights": round(job.model.num_parameters * job.weight_bytes),
        "adapter": _adapter_bytes(job),
        "optimiser state": job.state_bytes,
    }
    gradients = _FP32 * job.num_trainable
    return Usage(
        (
            _phase(
                "backward: loss and head",
                {
                    **fixed,
                    "gradients": gradients if job.accumulates else 0,
                    "saved activations": _activation_bytes(job),
                    "logits": _logit_bytes(job),
                    "temporaries": _cast_bytes(job),
                },
            ),
            _phase("optimiser step", {**fixed, "gradients": gradients}),
        )
    )


def _phase(name: str, components: dict[str, int]) -> PhasePeak:
    held = {part: size for part, size in components.items() if size}
    return PhasePeak(phase=name, peak_bytes=sum(held.values()), components=held)


def _adapter_bytes(job: Job) -> int:
    return _FP32 * job.num_trainable if job.is_adapter else 0


def _cast_bytes(job: Job) -> int:
    """Mixed precision's casts of trained weights, which live until the pass is over."""
    return job.activation_bytes * job.num_trainable if job.activation_bytes < _FP32 else 0


def _logit_bytes(job: Job) -> int:
    """Logits, their float32 copy where they are narrower, log-probabilities and the gradient of each."""
    copies = job.activation_bytes + (2 if job.activation_bytes == _FP32 else 3) * _FP32
    return job.head_rows * job.head_width * copies


def _activation_bytes(job: Job) -> int:
    model = job.model
    layer, depth = _layer_bytes_per_token(job), model.num_layers if job.layers_kept is None else job.layers_kept
    if not job.checkpointing:
        return round(job.tokens * depth * layer)
    return round(job.tokens * (depth * _residual(job) * model.hidden_size + layer))


def _layer_bytes_per_token(job: Job) -> float:
    """What one layer keeps for each token until its backward pass."""
    model, e = job.model, job.activation_bytes
    h, f = model.hidden_size, model.intermediate_size
    queries, keys = model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
    attention = e * (2 * queries + 2 * keys)
    residual = _residual(job)
    norms = 2 * (_FP32 * h + residual * h + (e * h if residual != e else 0))
    gated = model.model_type in _GATED
    feed_forward = e * f * (3 if gated else 2)
    return norms + attention + feed_forward + _adapter_inputs(job, gated)


def _residual(job: Job) -> int:
    return job.residual_bytes or job.activation_bytes


def _adapter_inputs(job: Job, gated: bool) -> float:
    """Inputs that trained linear layers keep beyond what their neighbours keep anyway, and the adapters' own."""
    model, e = job.model, job.activation_bytes
    layers = max(model.num_layers, 1)
    wide = sum(1 for inputs, _ in job.trained_linear.values() if inputs == model.intermediate_size)
    ranks = _FP32 * job.rank * len(job.trained_linear) / layers
    shared = 2 * e * model.hidden_size if job.trained_linear or not job.is_adapter else 0
    return ranks + shared + (e * model.intermediate_size if gated and wide else 0)
