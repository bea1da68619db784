"""What makes an evaluation pass faster and changes no value but by rounding.

Linear layers go by the faster of a CPU's two libraries. torch multiplies float32 matrices by MKL, which takes its
kernels of half the width where a CPU isn't Intel's. oneDNN, which torch brings along and uses for other types, goes by
what the CPU can do. Where that is AVX-512, its product takes less than half the time of MKL's on AMD's CPUs that
compute 512 bits at once, a tenth less on those that take two turns (Zen 4), and no more elsewhere; weights stay where
and what they are. The two round differently, so that sums differ in the last digits, as they do between batch sizes.
Training keeps torch's own way: oneDNN's product has no gradient.

Behind a model's last attention one position of each row is enough for a head of classes, which reads a single one. The
last layer's attention still reads keys and values of all positions; whatever comes behind works on each by itself, so
that the others need not be computed. Which modules these are is found out and not looked up. A short batch goes through
the model as usual, and each module of the last layer is called again with the read positions alone: those that give the
same work position by position. Then the batch goes through with NaN in all other positions behind attention. If any of
them were read, the result would be NaN, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, TypeGuard

import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.models.sharding import is_sharded, stacks_of
from ftc.spec.documents.settings import Settings
from ftc.spec.precisions import precision_card
from ftc.spec.strategies import strategy_card

__all__ = ["LastLayer", "faster_linears", "find_last_layer", "fold_adapter", "has_faster_linears"]


def has_faster_linears() -> bool:
    """Whether this CPU and this torch have a faster way."""
    is_wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return is_wide and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@contextmanager
def faster_linears(model: nn.Module) -> Iterator[None]:
    """Within the block, which has to be one without gradients, float32 layers on a CPU go by oneDNN.

    Layers of other types, on other devices, of subclasses, and those that something else has wrapped stay as they are.
    """
    changed = [layer for layer in model.modules() if _is_plain(layer)] if has_faster_linears() else []
    for layer in changed:
        vars(layer)["forward"] = partial(_linear, layer)
    try:
        yield
    finally:
        for layer in changed:
            del vars(layer)["forward"]


def fold_adapter(model: Any, settings: Settings) -> None:
    """Adds a low-rank adapter's products to the weights that they stand beside, for good, where both are as exact.

    Beside its layer each product costs two thin matrices and two passes over what comes out. In float32 the sum rounds
    as the layers do; in fewer bits it would say something else than the adapter that was saved, which stays beside.
    """
    is_low_rank = strategy_card(settings.strategy).folds_in and not precision_card(settings.train.precision).is_mixed
    is_exact = all(part.dtype == torch.float32 for part in model.parameters())
    is_exact &= settings.model.packed is None  # nothing can be added to those
    if is_low_rank and is_exact and not is_sharded(model) and not _adapts_what_is_shared(model):
        model.merge_adapter()


def _adapts_what_is_shared(model: Any) -> bool:
    """Whether weights with an adapter serve another layer too, which would change with it: tied embeddings."""
    holders = Counter(id(part) for layer in model.modules() for part in layer.parameters(recurse=False))
    adapted = (layer.get_base_layer() for layer in model.modules() if hasattr(layer, "get_base_layer"))
    return any(holders[id(part)] > 1 for layer in adapted for part in layer.parameters(recurse=False))


def _is_plain(layer: nn.Module) -> TypeGuard[nn.Linear]:
    if type(layer) is not nn.Linear or "forward" in vars(layer):
        return False
    return layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32


def _linear(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    """(..., out) of (..., in), as the layer would have it."""
    is_whole = type(layer.weight) is nn.Parameter  # a part of a sharded one is of another type
    if not is_whole or inputs.dtype != torch.float32 or inputs.numel() == 0 or torch.is_autocast_enabled("cpu"):
        return functional.linear(inputs, layer.weight, layer.bias)
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, layer.weight, layer.bias, "none", [], "")
    return product


class LastLayer:
    """Modules behind a model's last attention; none where they can't be distinguished from the others.

    Args:
        modules: Each takes (B, T, ...) states and gives such, every place by itself.
    """

    def __init__(self, modules: Sequence[nn.Module] = ()) -> None:
        self.modules = tuple(modules)

    @contextmanager
    def at(self, places: torch.Tensor, length: int, *, unread: float | None = None) -> Iterator[None]:
        """Within the block, the modules compute one place of each row.

        Args:
            places: (B,) the place in each row.
            length: T, tokens of a padded row.
            unread: What stands in the other places, instead of what stands in the one.
        """
        usual = [vars(module).get("forward") for module in self.modules]
        for module in self.modules:
            vars(module)["forward"] = partial(_at_places, module.forward, places, length, unread)
        try:
            yield
        finally:
            for module, before in zip(self.modules, usual, strict=True):
                del vars(module)["forward"]
                if before is not None:  # something else had wrapped it already
                    vars(module)["forward"] = before


def find_last_layer(
    model: nn.Module, logits: Callable[[], torch.Tensor], places: torch.Tensor, length: int
) -> LastLayer:
    """What may be computed at one place of each row, proved by a batch that may be short.

    Args:
        model: In evaluation mode, without gradients; its weights are whole.
        logits: Has the batch go through the model.
        places: (B,) the place in each row that its head reads.
        length: T, at least 2.
    """
    try:
        layer = stacks_of(model)[-1][1][-1]
    except LookupError:
        return LastLayer()
    with _Calls(layer, places, length) as calls:
        usual = logits()
    found = LastLayer(calls.behind_attention())
    for unread in (None, torch.nan):
        try:
            with found.at(places, length, unread=unread):
                if not _is_alike(logits(), usual):
                    return LastLayer()
        except Exception:  # noqa: BLE001 - whatever can't do with such states, as it writes into them, has to have all
            return LastLayer()
    return found


@dataclass(slots=True)
class _Call:
    """What is known of a module that was called.

    Attributes:
        order: Of its return among all.
        output: What it gave, or the first of that.
        by_place: Whether it works on each place by itself.
        count: How often it was called.
    """

    order: int
    output: Any
    by_place: bool
    count: int = 1


@dataclass
class _Calls:
    """Records the calls of all modules of a layer while a batch goes through."""

    layer: nn.Module
    places: torch.Tensor
    length: int
    _known: dict[nn.Module, _Call] = field(default_factory=dict)
    _hooks: list[Any] = field(default_factory=list)
    _is_asking: bool = False

    def __enter__(self) -> Self:
        self._hooks = [
            module.register_forward_hook(self._record, with_kwargs=True)
            for module in self.layer.modules()
            if module is not self.layer
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def behind_attention(self) -> list[nn.Module]:
        """From the layer's end to its attention, modules that work place by place, and the last ones of that."""
        found: list[nn.Module] = []
        mixing = self._collect(self.layer, found, is_within=False)
        while mixing is not None:
            mixing = self._collect(mixing, found, is_within=True)
        return found

    def _collect(self, holder: nn.Module, found: list[nn.Module], *, is_within: bool) -> nn.Module | None:
        """Adds parts of a module from its end on; gives the part that mixes places and was come upon.

        What is before the mixing works place by place, too. So within a module that mixes, only what gives the
        module's own output is known to come behind.
        """
        for part in sorted(_called(holder, self._known), key=lambda one: -self._known[one].order):
            call = self._known[part]
            if call.count > 1:
                return None
            if not call.by_place:
                return part
            if is_within and call.output is not self._known[holder].output:
                return None
            found.append(part)
        return None

    def _record(self, module: nn.Module, states: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
        if self._is_asking:
            return
        if module in self._known:
            self._known[module].count += 1
            return
        by_place = not options and _are_whole((*states, output), self.places, self.length)
        by_place = by_place and _is_alike(self._alone(module, states), *_picked((output,), self.places))
        first = output[0] if isinstance(output, tuple) and output else output
        self._known[module] = _Call(len(self._known), first, by_place)

    def _alone(self, module: nn.Module, states: tuple[Any, ...]) -> Any:
        """What a module gives at the read places where it sees no others; None where it can't do without."""
        self._is_asking = True
        try:
            return module.forward(*_picked(states, self.places))
        except Exception:  # noqa: BLE001 - whatever it says of states that it isn't made for, it is none that could
            return None
        finally:
            self._is_asking = False


def _called(holder: nn.Module, known: dict[nn.Module, _Call]) -> Iterator[nn.Module]:
    """A module's parts that are called themselves; lists and dictionaries of modules only hold theirs."""
    for part in holder.children():
        if part in known:
            yield part
        else:
            yield from _called(part, known)


def _at_places(
    usual: Callable[..., Any], places: torch.Tensor, length: int, unread: float | None, *states: Any, **options: Any
) -> Any:
    """What a module gives at the read places; the same (B, T, ...) as if it had computed all of them."""
    if options or not _are_whole(states, places, length):
        return usual(*states, **options)
    found = usual(*_picked(states, places))
    whole = found.expand(-1, length, *found.shape[2:])
    if unread is None:
        return whole
    return torch.full_like(whole, unread).index_put_((_lines(places), places), found.squeeze(1))


def _are_whole(states: Sequence[Any], places: torch.Tensor, length: int) -> bool:
    """Whether all are (B, T, ...) states."""
    whole = (len(places), length)
    return bool(states) and all(
        isinstance(one, torch.Tensor) and one.is_floating_point() and one.dim() > 2 and tuple(one.shape[:2]) == whole
        for one in states
    )


def _picked(states: Sequence[torch.Tensor], places: torch.Tensor) -> list[torch.Tensor]:
    """(B, 1, ...) states at the read places."""
    return [one[_lines(places), places].unsqueeze(1) for one in states]


def _lines(places: torch.Tensor) -> torch.Tensor:
    return torch.arange(len(places), device=places.device)


def _is_alike(found: Any, usual: torch.Tensor) -> bool:
    """Whether two results differ by rounding at most: in no more than half of their type's digits."""
    if not isinstance(found, torch.Tensor) or found.shape != usual.shape:
        return False
    within = torch.finfo(usual.dtype).eps ** 0.5 * usual.abs().max()
    return bool(((found - usual).abs() <= within).all())  # a comparison with not-a-number is never true
