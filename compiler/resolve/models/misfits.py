"""Whether a model's weights and its config.json belong together: how many layers there are, and how wide they are.

Loading would fail on other widths, leave layers untrained where too few are stored, and leave out what is too much. A
plan would go by sizes that no run has. Only kinds whose construction ftc knows are judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ftc.compiler.resolve.models.linear_modules import linear_modules
from ftc.compiler.resolve.models.model_config import ModelConfig
from ftc.spec.architectures import architecture
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.module_names import part_of

__all__ = ["misfits"]


def misfits(config: ModelConfig, tensors: Mapping[str, TensorFacts]) -> list[str]:
    """What doesn't fit, in words; empty where all does, or where it can't be told."""
    sizes = linear_modules(tensors, config.model_type).values()
    if not sizes or not architecture(config.model_type).widths_in_config:
        return []
    return [*_layers(config, tensors), *_widths(config, {width for size in sizes for width in size})]


def _layers(config: ModelConfig, tensors: Mapping[str, TensorFacts]) -> Iterator[str]:
    """Stacks of another depth; a model whose layers share weights stores none by number."""
    stored: dict[str, int] = {}
    for name in tensors:
        part = part_of(name)
        if part.kind == "layer":
            stored[part.stack] = max(stored.get(part.stack, 0), part.layer + 1)
    said = [config.num_layers, *([config.num_decoder_layers] if config.num_decoder_layers else [])]
    depths = [stored[stack] for stack in sorted(stored, key=lambda stack: "encoder" not in stack.split("."))]
    if len(depths) == len(said) and depths != said:
        yield f"config.json says {_joined(said)} layers, {_joined(depths)} are stored"


def _widths(config: ModelConfig, stored: set[int]) -> Iterator[str]:
    """Widths that no linear layer has on either side."""
    inner, queries = config.intermediate_size, config.num_heads * config.head_dim
    for what, width, found in (
        ("a width", config.hidden_size, config.hidden_size in stored),
        ("a feed-forward width", inner, inner in stored or 2 * inner in stored),  # both halves of a gate in one layer
        (f"{config.num_heads} heads with a width together", queries, queries in stored),
    ):
        if not found:
            yield f"config.json says {what} of {width}, and no linear layer that is stored has it"


def _joined(numbers: list[int]) -> str:
    return " and ".join(map(str, numbers))
