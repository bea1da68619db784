"""Optimizers: one card each, with every fact about it. The torch half is `ftc.runtime.training.optimizers`.

To add one, write its card here and its construction there. Settings, rules, memory and time estimates, solver,
suggestions, views, importers and docs ask the cards; no other file names a member.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ftc.spec.base import Document, Real
from ftc.spec.optimizer_card import ForeignNames, OptimizerCard, Rate, State, Usual

__all__ = [
    "ADAM_BETA2",
    "OPTIMIZERS",
    "OptimizerKeys",
    "OptimizerKind",
    "OptimizerNumbers",
    "candidates",
    "in_layers",
    "optimizer_card",
]


ADAM_BETA2 = Usual("beta2", 0.999, "from Adam's paper")
_LION_BETA2 = Usual("beta2", 0.99, "from Lion's paper")
_OF_ADEMAMIX = (ADAM_BETA2, Usual("beta3", 0.9999, "from AdEMAMix's paper"), Usual("alpha", 5.0, "bitsandbytes'"))
_ADAM = ("beta1", "beta2", "epsilon")
_AS_ADAMW = Rate(Fraction(1), None, range_known=True)
_FIFTH = Rate(Fraction(1, 5), "a fifth of {}, because Lion's steps are larger", range_known=False)
_KERNELS_TAKE_WHOLE = "its kernels need whole tensors"
_EVERYWHERE = frozenset(("cpu", "cuda"))
_NOWHERE: frozenset[str] = frozenset()
_GPU = frozenset(("cuda",))


def _moments(count: int, bits: Literal[8, 32] = 32) -> State:
    """The state of an optimizer that treats all weights alike."""
    return State(moments=count, bits=bits, factored=False, needs_momentum=False, outside_layers=count)


OPTIMIZERS: tuple[OptimizerCard, ...] = (
    OptimizerCard(
        kind="adamw",
        label="AdamW",
        source="Loshchilov & Hutter 2019",
        reads=_ADAM,
        usual=(ADAM_BETA2,),
        state=_moments(2),
        paged=False,
        fused=True,
        package="torch",
        extra="train",
        exact_on=_EVERYWHERE,
        rate=_AS_ADAMW,
        whole_tensors=None,
        schedules=None,
        solver_on=_EVERYWHERE,
        uncounted=None,
        is_auto=True,
        paged_as="adamw_paged",
        rounded_as=("adamw_8bit", "adamw_8bit_paged"),
        names=ForeignNames(
            trainer=(
                *("adamw", "adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused"),
                *("adamw_torch_xla", "adamw_torch_npu_fused"),
            ),
            component=("torch.optim.AdamW", "torch.optim.adamw.AdamW"),
            values={},
        ),
    ),
    OptimizerCard(
        kind="adamw_8bit",
        label="8-bit AdamW",
        source="Dettmers et al. 2021",
        reads=_ADAM,
        usual=(ADAM_BETA2,),
        state=_moments(2, bits=8),
        paged=False,
        fused=False,
        package="bitsandbytes",
        extra="quant",
        exact_on=_NOWHERE,
        rate=_AS_ADAMW,
        whole_tensors=_KERNELS_TAKE_WHOLE,
        schedules=None,
        solver_on=_GPU,
        uncounted=None,
        is_auto=True,
        paged_as="adamw_8bit_paged",
        rounded_as=(),
        names=ForeignNames(
            trainer=("adamw_8bit", "adamw_bnb_8bit", "adamw_torch_8bit"),
            component=("bitsandbytes.optim.AdamW8bit", "torchao.optim.AdamW8bit"),
            values={},
        ),
    ),
    OptimizerCard(
        kind="adamw_paged",
        label="paged AdamW",
        source="Dettmers et al. 2023",
        reads=_ADAM,
        usual=(ADAM_BETA2,),
        state=_moments(2),
        paged=True,
        fused=False,
        package="bitsandbytes",
        extra="quant",
        exact_on=_NOWHERE,
        rate=_AS_ADAMW,
        whole_tensors=_KERNELS_TAKE_WHOLE,
        schedules=None,
        solver_on=_GPU,
        uncounted=None,
        is_auto=True,
        paged_as=None,
        rounded_as=("adamw_8bit", "adamw_8bit_paged"),
        names=ForeignNames(
            trainer=("paged_adamw", "paged_adamw_32bit"),
            component=("bitsandbytes.optim.PagedAdamW", "bitsandbytes.optim.PagedAdamW32bit"),
            values={},
        ),
    ),
    OptimizerCard(
        kind="adamw_8bit_paged",
        label="paged 8-bit AdamW",
        source="Dettmers et al. 2023",
        reads=_ADAM,
        usual=(ADAM_BETA2,),
        state=_moments(2, bits=8),
        paged=True,
        fused=False,
        package="bitsandbytes",
        extra="quant",
        exact_on=_NOWHERE,
        rate=_AS_ADAMW,
        whole_tensors=_KERNELS_TAKE_WHOLE,
        schedules=None,
        solver_on=_GPU,
        uncounted=None,
        is_auto=True,
        paged_as=None,
        rounded_as=(),
        names=ForeignNames(trainer=("paged_adamw_8bit",), component=("bitsandbytes.optim.PagedAdamW8bit",), values={}),
    ),
    OptimizerCard(
        kind="lion",
        label="Lion",
        source="Chen et al. 2023",
        reads=("beta1", "beta2"),
        usual=(_LION_BETA2,),
        state=_moments(1),
        paged=False,
        fused=False,
        package="bitsandbytes",
        extra="quant",
        exact_on=_NOWHERE,
        rate=_FIFTH,
        whole_tensors=_KERNELS_TAKE_WHOLE,
        schedules=None,
        solver_on=_NOWHERE,
        uncounted=None,
        is_auto=False,
        paged_as=None,
        rounded_as=("lion_8bit",),
        names=ForeignNames(
            trainer=("lion", "lion_32bit"),
            component=("bitsandbytes.optim.Lion", "bitsandbytes.optim.Lion32bit"),
            values={},
        ),
    ),
    OptimizerCard(
        kind="lion_8bit",
        label="8-bit Lion",
        source="Chen et al. 2023",
        reads=("beta1", "beta2"),
        usual=(_LION_BETA2,),
        state=_moments(1, bits=8),
        paged=False,
        fused=False,
        package="bitsandbytes",
        extra="quant",
        exact_on=_NOWHERE,
        rate=_FIFTH,
        whole_tensors=_KERNELS_TAKE_WHOLE,
        schedules=None,
        solver_on=_GPU,
        uncounted=None,
        is_auto=False,
        paged_as=None,
        rounded_as=(),
        names=ForeignNames(trainer=("lion_8bit",), component=("bitsandbytes.optim.Lion8bit",), values={}),
    ),
    OptimizerCard(
        kind="ademamix",
        label="AdEMAMix",
        source="Pagliardini et al. 2024",
        reads=(*_ADAM, "beta3", "alpha"),
        usual=_OF_ADEMAMIX,
        state=_moments(3),
        paged=False,
        fused=False,
        package="bitsandbytes",
        extra="quant",
        exact_on=_NOWHERE,
        rate=_AS_ADAMW,
        whole_tensors=_KERNELS_TAKE_WHOLE,
        schedules=None,
        solver_on=_NOWHERE,
        uncounted=None,
        is_auto=False,
        paged_as=None,
        rounded_as=("ademamix_8bit",),
        names=ForeignNames(trainer=("ademamix",), component=("bitsandbytes.optim.AdEMAMix",), values={}),
    ),
    OptimizerCard(
        kind="ademamix_8bit",
        label="8-bit AdEMAMix",
        source="Pagliardini et al. 2024",
        reads=(*_ADAM, "beta3", "alpha"),
        usual=_OF_ADEMAMIX,
        state=_moments(3, bits=8),
        paged=False,
        fused=False,
        package="bitsandbytes",
        extra="quant",
        exact_on=_NOWHERE,
        rate=_AS_ADAMW,
        whole_tensors=_KERNELS_TAKE_WHOLE,
        schedules=None,
        solver_on=_GPU,
        uncounted=None,
        is_auto=False,
        paged_as=None,
        rounded_as=(),
        names=ForeignNames(trainer=("ademamix_8bit",), component=("bitsandbytes.optim.AdEMAMix8bit",), values={}),
    ),
    OptimizerCard(
        kind="muon",
        label="Muon",
        source="Jordan et al. 2024, with the scale of Liu et al. 2025",
        reads=("momentum", *_ADAM),
        usual=(ADAM_BETA2, Usual("momentum", 0.95, "torch's default for Muon")),
        state=State(moments=1, bits=32, factored=False, needs_momentum=False, outside_layers=2),
        paged=False,
        fused=False,
        package="torch",
        extra="train",
        exact_on=_NOWHERE,
        rate=_AS_ADAMW,
        whole_tensors="it orthogonalizes whole matrices",
        schedules=None,
        solver_on=_NOWHERE,
        uncounted="Muon's orthogonalization of each matrix in each step",
        is_auto=False,
        paged_as=None,
        rounded_as=(),
        names=ForeignNames(trainer=("muon",), component=("torch.optim.Muon",), values={}),
    ),
    OptimizerCard(
        kind="adamw_schedule_free",
        label="schedule-free AdamW",
        source="Defazio et al. 2024",
        reads=_ADAM,
        usual=(ADAM_BETA2,),
        state=_moments(2),
        paged=False,
        fused=False,
        package="schedulefree",
        extra="optim",
        exact_on=_NOWHERE,
        rate=_AS_ADAMW,
        whole_tensors="averaging of sharded weights is not tested",
        schedules=("constant",),
        solver_on=_NOWHERE,
        uncounted=None,
        is_auto=False,
        paged_as=None,
        rounded_as=(),
        names=ForeignNames(trainer=("schedule_free_adamw",), component=("schedulefree.AdamWScheduleFree",), values={}),
    ),
    OptimizerCard(
        kind="adafactor",
        label="Adafactor",
        source="Shazeer & Stern 2018",
        reads=(),
        usual=(ADAM_BETA2,),
        state=State(moments=1, bits=32, factored=True, needs_momentum=False, outside_layers=1),
        paged=False,
        fused=False,
        package="transformers",
        extra="train",
        exact_on=_NOWHERE,
        rate=Rate(Fraction(1), None, range_known=False),
        whole_tensors="means over rows and columns need whole matrices",
        schedules=None,
        solver_on=_NOWHERE,
        uncounted=None,
        is_auto=False,
        paged_as=None,
        rounded_as=(),
        names=ForeignNames(
            trainer=("adafactor",),
            component=("transformers.optimization.Adafactor", "transformers.Adafactor"),
            values={},
        ),
    ),
    OptimizerCard(
        kind="sgd",
        label="SGD",
        source="Sutskever et al. 2013",
        reads=("momentum",),
        usual=(ADAM_BETA2,),
        state=State(moments=1, bits=32, factored=False, needs_momentum=True, outside_layers=1),
        paged=False,
        fused=True,
        package="torch",
        extra="train",
        exact_on=_NOWHERE,
        rate=Rate(
            Fraction(100), "a hundred times {}, because SGD's steps are as small as its gradients", range_known=False
        ),
        whole_tensors=None,
        schedules=None,
        solver_on=_NOWHERE,
        uncounted=None,
        is_auto=False,
        paged_as=None,
        rounded_as=(),
        names=ForeignNames(
            trainer=("sgd",),
            component=("torch.optim.SGD", "torch.optim.sgd.SGD"),
            values={"momentum": (0, "other tools use SGD without it")},
        ),
    ),
)
"""Every optimizer, in the order in which a recipe's kinds are listed."""

_BY_KIND = {card.kind: card for card in OPTIMIZERS}

if TYPE_CHECKING:
    OptimizerKind = str
else:
    OptimizerKind = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def in_layers(name: str, shape: Sequence[int]) -> bool:
    """Whether a trained tensor is a matrix in one of the model's layers, and no table of embeddings or positions there.

    Those are what Muon takes; the others are AdamW's.

    Args:
        name: The parameter's, with the path of its module.
        shape: The parameter's.
    """
    parts = name.split(".")
    is_table = any("embed" in part or "attention_bias" in part for part in parts)
    return len(shape) == 2 and any(part.isdigit() for part in parts) and not is_table


class OptimizerNumbers(Document):
    """What a recipe says and a plan settles of single optimizers; None for what nobody said, or one ignores."""

    beta3: Real | None = Field(default=None, ge=0, lt=1)
    """Decay of AdEMAMix's slow mean. Default: 0.9999, the paper's."""
    alpha: Real | None = Field(default=None, ge=0, le=100)
    """Weight of AdEMAMix's slow mean beside the fast one. Default: 5, bitsandbytes'; the paper has 4 to 10."""

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class _Kind(Document):
    kind: str


class OptimizerKeys(OptimizerNumbers, _Kind):
    """The same behind the kind of the optimizer."""


def optimizer_card(kind: str) -> OptimizerCard:
    """The card of a kind that a plan names."""
    return _BY_KIND[kind]


def candidates(kind: str) -> tuple[OptimizerCard, ...]:
    """What a recipe's kind may come to: its own card, or those among which `auto` chooses, exact ones first."""
    if kind != "auto":
        return (_BY_KIND[kind],)
    return tuple(sorted((card for card in OPTIMIZERS if card.is_auto), key=lambda card: card.is_rounded))
