"""A training step as other people's scripts do it, for scoring the trace against their measurements.

They give the model its labels, so that it computes all logits, and keep its outputs until the step is over. Some run
the forward pass under torch's autocast. The tracker, the kernels, the layers, mixed precision and the allocator are
those of ftc's own trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.memory_trace.arithmetic import mixed_without_memory
from ftc.runtime.memory_trace.holdings import register_model, register_state
from ftc.runtime.memory_trace.kernels import IMPLEMENTATION, KernelRules, register
from ftc.runtime.memory_trace.log import TRACED_GROUPS, Log, stretched
from ftc.runtime.memory_trace.meta_model import model_config, quantize
from ftc.runtime.memory_trace.sections import Groups, mark
from ftc.runtime.memory_trace.torch_internals import run_backward
from ftc.runtime.memory_trace.tracker import StorageTracker, card_buffers

__all__ = ["ForeignJob", "foreign_log"]

_STEPS = 2


@dataclass(frozen=True, slots=True)
class ForeignJob:
    """A published run: LoRA, on a base in 32, 16 or 4 bits.

    Attributes:
        config: The model's sizes, as in its `config.json`.
        dtype: Type of the base, and of the arithmetic on 4-bit weights.
        autocast: Type to which torch's autocast casts in the forward pass; None where the script doesn't use it.
        quantised: Whether the base is in 4 bits (nf4).
        double_quantised: Whether its scales are quantised too.
        rank: Rank of the adapter.
        targets: Linear layers that get one, by the end of their names.
        batch: Rows.
        length: Tokens of each.
        checkpointing: Whether activations are recomputed.
        eager: Whether attention is the plain formula.
        states_in_8_bits: Whether AdamW's state is that of bitsandbytes, else torch's.
        keeps_outputs: Whether the scores of one step are still there while the next ones are computed.
        rules: Which attention kernel torch takes.
    """

    config: dict[str, Any]
    dtype: torch.dtype
    autocast: torch.dtype | None
    quantised: bool
    double_quantised: bool
    rank: int
    targets: tuple[str, ...]
    batch: int
    length: int
    checkpointing: bool
    eager: bool
    states_in_8_bits: bool
    keeps_outputs: bool
    rules: KernelRules


def foreign_log(job: ForeignJob) -> Log:
    """The log of the run at the model's real depth."""
    register(job.rules)
    layers = job.config["num_hidden_layers"]
    model = _model(job, TRACED_GROUPS)
    return stretched(_log(job, model), layers)


def _model(job: ForeignJob, layers: int) -> nn.Module:
    import peft
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(
            model_config(job.config, (layers,)),
            dtype=job.dtype,
            attn_implementation="eager" if job.eager else IMPLEMENTATION,
        )
        if job.quantised:
            kind = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": job.double_quantised}
            quantize(model, BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=job.dtype, **kind))
            model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        adapter = peft.LoraConfig(r=job.rank, target_modules=list(job.targets), task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, adapter)
    if job.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    trained: nn.Module = model
    return trained


def _log(job: ForeignJob, model: nn.Module) -> Log:
    assert job.rules.capability is not None
    rows = job.batch * job.length
    tracker = StorageTracker(
        buffers=card_buffers(job.rules.capability), score_shapes=[(rows, job.config["vocab_size"])]
    )
    groups = Groups(1, TRACED_GROUPS, job.config["num_hidden_layers"])
    mark(tracker, model, [groups])
    register_model(tracker, model, [groups])
    optimizer = _optimizer(job, model)
    optimizer.register_step_pre_hook(lambda *_: tracker.section("optimiser step"))
    ids = torch.zeros(job.batch, job.length, dtype=torch.long, device="meta")
    casting = mixed_without_memory(job.autocast, [model], on_card=True)
    with casting as switch, tracker, mock.patch.object(functional, "softmax", _softmax_on_card):
        for step in range(_STEPS):
            tracker.turn(step, 0)
            with switch():
                outputs = model(input_ids=ids, labels=ids, use_cache=False)
            tracker.section("backward: loss and head")
            run_backward(outputs.loss)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            register_state(tracker, optimizer)
            if not job.keeps_outputs:
                del outputs
    return tracker.close()


class _HalfSoftmax(torch.autograd.Function):
    """CUDA's softmax of float16 scores in float32, which makes no copy of its input, unlike the plain formula."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(scores, dtype=torch.float32)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (out,) = ctx.saved_tensors
        result = torch.empty_like(grads[0], dtype=torch.float16)
        product = torch.empty_like(out)
        del product
        return result


def _softmax_on_card(scores: torch.Tensor, dim: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    if scores.dtype == torch.float16 and dtype == torch.float32:
        result: torch.Tensor = _HalfSoftmax.apply(scores)  # type: ignore[no-untyped-call]
        return result
    return torch.softmax(scores, dim, dtype=dtype)


def _optimizer(job: ForeignJob, model: nn.Module) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if job.states_in_8_bits:
        return _Adam8bit(trained, {})
    return torch.optim.AdamW(trained, lr=1e-4, foreach=True)


class _Adam8bit(torch.optim.Optimizer):
    """The state of bitsandbytes' AdamW: 8 bits with a scale for 256 elements, 32 bits for small tensors."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Makes the state where there is none."""
        del closure
        for parameter in self.param_groups[0]["params"]:
            if parameter not in self.state:
                is_small = parameter.numel() < 4096
                dtype = torch.float32 if is_small else torch.uint8
                state = {f"state{n}": torch.zeros_like(parameter, dtype=dtype) for n in (1, 2)}
                blocks = torch.zeros_like(parameter).new_zeros(-(-parameter.numel() // 256))
                state |= {} if is_small else {f"absmax{n}": torch.zeros_like(blocks) for n in (1, 2)}
                self.state[parameter] = state
