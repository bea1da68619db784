"""What one of several devices holds and computes of a model whose layers they divide (tensor parallelism).

Attention's heads, the width between the two halves of a feed-forward part, and with them the linear layers around are
shares of the whole ones, so that a device's part is a narrower model: whoever counts memory or arithmetic counts that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ftc.compiler.remembered import remembered
from ftc.spec.documents.facts import ModelFacts, TensorFacts
from ftc.spec.module_names import embedding_part, part_of, role_of
from ftc.spec.strategies import Beside, Trained
from ftc.spec.tensor_parallel import divides

__all__ = ["beside_part", "divides_head", "layer_part", "sums_of_layers", "trained_share", "undivided_widths"]


@remembered
def layer_part(model: ModelFacts, devices: int) -> ModelFacts:
    """The narrower model that each of so many devices computes; the model itself for one.

    Args:
        model: Its layers are divided by columns and by rows; see `undivided_widths`.
        devices: That divide each layer.
    """
    if devices == 1:
        return model
    linears = {name: _linear(name, form, model, devices) for name, form in model.linear_modules.items()}
    return model.model_copy(
        update={
            "num_heads": model.num_heads // devices,
            "num_kv_heads": model.num_kv_heads // devices,
            "intermediate_size": model.intermediate_size // devices,
            "linear_modules": linears,
            "tensors": {name: _tensor(name, one, model, devices) for name, one in model.tensors.items()},
        }
    )


def undivided_widths(model: ModelFacts, devices: int) -> str | None:
    """What of a model can't be shared by so many devices, in words; None where all can."""
    widths: Mapping[str, int] = {
        "heads": model.num_heads,
        "KV heads": model.num_kv_heads,
        "width of its feed-forward part": model.intermediate_size,
    }
    return next((f"{what} ({width:,})" for what, width in widths.items() if not divides(width, devices)), None)


def divides_head(model: ModelFacts, devices: int) -> bool:
    """Whether the output layer over words is divided, too: one that shares the embeddings' weights is whole."""
    return devices > 1 and not model.tied_embeddings and divides(model.vocab_size, devices)


@remembered
def trained_share(model: ModelFacts, trained: Trained, devices: int) -> float:
    """The part of what is trained that one device holds; 1 where nothing of it is in a layer.

    Args:
        model: Whole.
        trained: Weights of the model, and what stands beside its layers.
        devices: That divide each layer.
    """
    if devices == 1:
        return 1.0
    own = {name: tensor for name, tensor in model.tensors.items() if name in trained.names}
    held = {name: _tensor(name, tensor, model, devices) for name, tensor in own.items()}
    whole = sum(map(_weights, trained.beside.values())) + sum(one.num_elements for one in own.values())
    parts = sum(map(_weights, beside_part(model, trained.beside, devices).values()))
    return (parts + sum(one.num_elements for one in held.values())) / whole if whole else 1.0


def beside_part(model: ModelFacts, beside: Mapping[str, Beside], devices: int) -> dict[str, Beside]:
    """What stands beside a device's part of each layer: of a low-rank adapter the half that meets the divided side.

    Args:
        model: Whole.
        beside: By the names of its linear layers.
        devices: That divide each layer.
    """
    found = dict(beside)
    for name, one in beside.items() if devices > 1 else ():
        if name not in model.linear_modules:
            continue
        inputs, outputs = _linear(name, (one.inputs, one.outputs), model, devices)
        part = (inputs + outputs) / max(1, one.inputs + one.outputs)
        work = {key: round(getattr(one, key) * part) for key in ("forward", "backward", "through")}
        found[name] = replace(one, inputs=inputs, outputs=outputs, **work)
    return found


def _weights(one: Beside) -> int:
    return one.width * (one.inputs + one.outputs)


@remembered
def sums_of_layers(model: ModelFacts) -> tuple[int, int]:
    """Sums over devices of a token's states in all layers, in the forward and the backward pass.

    Each layer by rows is one in the forward pass, and each by columns one in the backward pass.
    """
    rows = sum(_by_rows(name, form, model) for name, form in model.linear_modules.items())
    return rows, len(model.linear_modules) - rows


def _by_rows(name: str, form: tuple[int, int], model: ModelFacts) -> bool:
    """Whether a layer gives the model's width back from what devices hold shares of."""
    inputs, outputs = form
    is_output = role_of(name) in ("attention_out", "feed_forward_out")
    return is_output or (role_of(name) is None and outputs == model.hidden_size != inputs)


def _linear(name: str, form: tuple[int, int], model: ModelFacts, devices: int) -> tuple[int, int]:
    inputs, outputs = form
    by_rows = _by_rows(name, model.linear_modules[name], model)
    return (inputs // devices, outputs) if by_rows else (inputs, outputs // devices)


def _tensor(name: str, tensor: TensorFacts, model: ModelFacts, devices: int) -> TensorFacts:
    module, _, last = name.rpartition(".")
    form = model.linear_modules.get(module)
    if form is None:
        is_head = part_of(name).kind == "output" and embedding_part(name) is None and len(tensor.shape) == 2
        if not is_head or not divides_head(model, devices) or tensor.shape[0] != model.vocab_size:
            return tensor
        return _narrower(tensor, devices)
    if last == "bias" and _by_rows(module, form, model):
        return tensor
    return _narrower(tensor, devices)


def _narrower(tensor: TensorFacts, devices: int) -> TensorFacts:
    """A tensor with a share of its numbers; which side is shorter decides about no sum."""
    first, *others = tensor.shape
    if divides(first, devices):
        return tensor.model_copy(update={"shape": (first // devices, *others)})
    return tensor.model_copy(update={"shape": (math.ceil(first / devices), *others)})
