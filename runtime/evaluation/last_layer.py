"""What a class needs of a model's last layer: behind its attention, one place of each row is enough.

A head of classes reads a single place. The last layer's attention still reads keys and values of all places; whatever
comes behind works on each place by itself, so that the other places need not be computed.

Which modules these are is found out and not looked up. A short batch goes through the model as usual, and each module
of the last layer is called again with the read places alone: those that give the same work place by place. Then the
batch goes through with not-a-number in all other places behind attention. Were any of them read, so would that be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import torch
from torch import nn

from ftc.runtime.models.stacks import stacks_of

__all__ = ["LastLayer", "find_last_layer"]


class LastLayer:
    """Modules behind a model's last attention; none where they can't be told from the others.

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
    """Hears of all modules of a layer while a batch goes through."""

    layer: nn.Module
    places: torch.Tensor
    length: int
    _known: dict[nn.Module, _Call] = field(default_factory=dict)
    _hooks: list[Any] = field(default_factory=list)
    _is_asking: bool = False

    def __enter__(self) -> Self:
        self._hooks = [
            module.register_forward_hook(self._heard, with_kwargs=True)
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

    def _heard(self, module: nn.Module, states: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
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
        """What a module gives at the read places where it isn't told of others; None where it can't do without."""
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
