"""Weights of a base model that stay quantized in memory, as its files hold them: how, and in which layers."""

from __future__ import annotations

from typing import Literal

from ftc.spec.base import Document

__all__ = ["Layout", "PackedWeights", "behind_number"]

Layout = Literal["gptq", "gptq_v2", "awq"]
"""How numbers lie in words. `gptq`: along the inputs, with zero points that are one too small; `gptq_v2`: the same with
zero points as they are; `awq`: along the outputs, in another order."""

_WORD_BYTES = 4
_SCALE_BYTES = 2
"""Scales are in float16 in memory, as in the loaders that these files are made for."""


class PackedWeights(Document):
    """How some linear layers of a model are held."""

    layout: Layout
    bits: Literal[4, 8]
    group_size: int | None
    """Inputs that share a scale for each output; None where all do."""
    modules: tuple[str, ...]
    """These layers, by what follows the number of their block: `self_attn.q_proj`."""

    def holds(self, module: str) -> bool:
        """Whether a linear layer is among them, by its full name in the file or in memory."""
        return behind_number(module) in self.modules

    def groups(self, inputs: int) -> int:
        """Scales of an output."""
        return -(-inputs // (self.group_size or inputs))

    def layer_bytes(self, inputs: int, outputs: int) -> int:
        """Bytes of a layer's words, zero points and scales, and of the group of each input where files name it."""
        share, groups = _WORD_BYTES * self.bits / 32, self.groups(inputs)
        named = 0 if self.layout == "awq" else _WORD_BYTES * inputs
        return round(share * inputs * outputs + share * groups * outputs) + _SCALE_BYTES * groups * outputs + named


def behind_number(module: str) -> str:
    """What follows the number of a block in a module's name; empty where there is none."""
    parts = module.split(".")
    first = next((place for place, part in enumerate(parts) if part.isdigit()), len(parts))
    return ".".join(parts[first + 1 :])
