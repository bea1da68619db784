"""A model's stacks of layers with the tokens that go through them: read off the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ftc.compiler.memory.layer_formula import Stack
from ftc.compiler.remembered import remembered
from ftc.compiler.time.amounts import window_of
from ftc.spec.documents.facts import ModelFacts, TensorFacts
from ftc.spec.module_names import part_of

__all__ = ["layer_weights", "stacks_of"]

_IN_LAYER = re.compile(r"\.\d+\.")
_OF_HEADS = re.compile(r"\.(q|k|query|key)_(layer)?norm\.")
"""Norms of queries and keys, which attention counts."""


def stacks_of(
    model: ModelFacts,
    tokens: int,
    length: int,
    target_length: int = 0,
    *,
    eager: bool = False,
    unpadded: bool = False,
    masked: bool = False,
    layers_kept: int | None = None,
    starts_late: bool = False,
) -> list[Stack]:
    """The model's stacks of layers.

    Args:
        model: The base model.
        tokens: Tokens of the micro-batch, those of its targets included.
        length: Tokens of a row, in the same way.
        target_length: Of these the ones that the decoder of an encoder-decoder gets.
        eager: Whether attention is the plain formula.
        unpadded: Whether attention gets rows without their padding, and so no masks, as the package flash-attn does.
        masked: Whether padding, or other rows of a sequence, are hidden by a mask.
        layers_kept: Last layers of each stack that the backward pass goes through; None for all.
        starts_late: Whether it ends before the first layer of all.
    """
    takes_masks = not (eager or unpadded)
    if model.num_decoder_layers is None:
        norms, masks = _num_norms(model, ""), _num_masks(model, length, masked) if takes_masks else 0
        linear, layers = model.linear_modules, model.num_layers
        stored = _num_stored(model)
        repeats = max(1.0, layers / max(1, stored)) if stored else 1.0
        stacks = [Stack(model, linear, norms, layers, tokens, length, 0, eager, masks, masked)]
        stacks = [replace(stack, repeats=repeats, inner_norms=_inner_norms(model, "")) for stack in stacks]
    else:
        rows = max(1, tokens // max(1, length))
        source, target = max(1, length - target_length), max(1, target_length)
        hiding = masked and takes_masks
        encoder = ("encoder.", model.num_layers, source, 0)
        decoder = ("decoder.", model.num_decoder_layers, target, rows * source)
        stacks = [
            Stack(
                model,
                _linear(model, part),
                _num_norms(model, part),
                layers,
                tokens=rows * size,
                length=size,
                crossed=crossed,
                eager=eager,
                masks=layers if hiding and not crossed else 0,
                crossed_masks=layers if hiding and crossed else 0,
                inner_norms=_inner_norms(model, part),
            )
            for part, layers, size, crossed in (encoder, decoder)
        ]
    if starts_late:
        stacks[0] = _cut(stacks[0], stacks[0].layers - 1)
    heads, after, sinks = _has_head_norms(model), _norms_after(model), _has_sinks(model)
    stacks = [replace(stack, head_norms=heads, norms_after=after, has_sinks=sinks) for stack in stacks]
    return stacks if layers_kept is None else [_cut(stack, layers_kept) for stack in stacks]


def _num_masks(model: ModelFacts, length: int, masked: bool) -> int:
    """Layers whose attention gets a mask of all pairs: all where something is hidden, else those with a window."""
    window, near = window_of(model)
    if masked:
        return model.num_layers
    return len(near) if window is not None and length > window else 0


def _cut(stack: Stack, layers: int) -> Stack:
    """The last layers of a stack, at least one of which the backward pass begins in."""
    kept = min(stack.layers, max(layers, 1))
    of_layer = round(len(stack.linear) * kept / max(stack.layers, 1))
    linear = dict(list(stack.linear.items())[len(stack.linear) - of_layer :])
    return replace(
        stack,
        layers=kept,
        linear=linear,
        norms=round(stack.norms * kept / max(stack.layers, 1)),
        inner_norms=round(stack.inner_norms * kept / max(stack.layers, 1)),
    )


@remembered
def _num_stored(model: ModelFacts) -> int:
    """Layers that the model's files have; fewer where layers share weights."""
    return len({found[0] for name in model.linear_modules if (found := _IN_LAYER.search(name))})


def _linear(model: ModelFacts, part: str) -> dict[str, tuple[int, int]]:
    return {name: size for name, size in model.linear_modules.items() if part in f"{name}."}


def _num_norms(model: ModelFacts, part: str) -> int:
    layers = model.num_decoder_layers if part == "decoder." else model.num_layers
    return sum(width == model.hidden_size for width in _norms(model, part)) or 2 * (layers or 0)


def _inner_norms(model: ModelFacts, part: str) -> int:
    return sum(width for width in _norms(model, part) if width != model.hidden_size)


def _of_language(model: ModelFacts) -> Iterator[tuple[str, TensorFacts]]:
    """Tensors without those of modules in front of a language model, whose norms have widths of their own."""
    card = model.vision.card if model.vision else None
    return ((name, one) for name, one in model.tensors.items() if not card or card.part_of(name) == "language_model")


@remembered
def _has_head_norms(model: ModelFacts) -> bool:
    """Whether queries and keys are normed."""
    return any(_OF_HEADS.search(name) for name, _ in _of_language(model))


@remembered
def _norms_after(model: ModelFacts) -> bool:
    """Whether layers norm what their parts give, and not what these read, by the names of their norms (OLMo 2)."""
    names = {name.split(".")[-2] for name, _ in _of_language(model) if _IN_LAYER.search(name) and "norm" in name}
    return "post_feedforward_layernorm" in names and not names & _NORMS_BEFORE


_NORMS_BEFORE = frozenset(("input_layernorm", "pre_feedforward_layernorm"))


@remembered
def _has_sinks(model: ModelFacts) -> bool:
    """Whether heads have scores of their own (gpt-oss)."""
    return any(name.endswith(".sinks") for name, _ in _of_language(model))


@remembered
def _norms(model: ModelFacts, part: str) -> tuple[int, ...]:
    """Widths of the vectors that a stack's layers multiply with."""
    vectors = {
        name: tensor.shape[0]
        for name, tensor in _of_language(model)
        if len(tensor.shape) == 1 and name.endswith((".weight", ".gamma")) and part in name
    }
    return tuple(width for name, width in vectors.items() if _IN_LAYER.search(name) and not _OF_HEADS.search(name))


def layer_weights(model: ModelFacts) -> tuple[tuple[int, ...], ...]:
    """Weights in the matrices of each stored layer, a tuple for each stack, an encoder's before its decoder's.

    None are told of a model whose stacks can't be known by the names of its tensors, as where layers share weights.
    """
    found: dict[str, dict[int, int]] = {}
    for name, tensor in model.tensors.items():
        part = part_of(name)
        if part.kind == "layer":
            sizes = found.setdefault(part.stack, {})
            is_matrix = len(tensor.shape) == 3 or (name.endswith("weight") and len(tensor.shape) == 2)
            sizes[part.layer] = sizes.get(part.layer, 0) + is_matrix * tensor.num_elements
    stacks = sorted(found, key=lambda stack: "encoder" not in stack.split("."))
    said = [model.num_layers, *([model.num_decoder_layers] if model.num_decoder_layers else [])]
    stored = [tuple(size for _, size in sorted(found[stack].items())) for stack in stacks]
    return tuple(stored) if [len(sizes) for sizes in stored] == said else ()
