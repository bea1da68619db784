"""What `ftc run inspect` says of a run. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftc.spec.documents.inspected import InspectedRun, LayerStates, ModuleChange
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped, fitted

__all__ = [
    "LAYER_HEADER",
    "MODULE_HEADER",
    "Group",
    "groups",
    "inspected_text",
    "layer_cells",
    "module_cells",
    "stack_and_layer",
    "summary_parts",
]

MODULE_HEADER = ("module", "weights", "change", "stable", "effective", "max rank")
"""Columns of `module_cells`; the last three are ranks. A terminal of 60 columns holds them."""
LAYER_HEADER = ("layer", "change", "states' change", "cosine", "CKA")
"""Columns of `layer_cells`."""
_SHOWN_TOKENS = 10


@dataclass(frozen=True, slots=True)
class Group:
    """Changes of weights that belong together.

    Attributes:
        changes: The changes.
    """

    changes: Sequence[ModuleChange]

    @property
    def relative(self) -> float | None:
        """Norm of all changes together as a share of that of the weights; None where nothing can be compared."""
        known = [one for one in self.changes if one.update_norm is not None and one.base_norm is not None]
        before = math.hypot(*(float(one.base_norm or 0) for one in known))
        return math.hypot(*(float(one.update_norm or 0) for one in known)) / before if before else None

    def mean(self, value_of: Callable[[ModuleChange], float | None]) -> float | None:
        """Mean of a value over the changes that have it."""
        found = [float(value) for one in self.changes if (value := value_of(one)) is not None]
        return sum(found) / len(found) if found else None


def groups(changes: Sequence[ModuleChange], key: Callable[[ModuleChange], object]) -> dict[object, Group]:
    """Changes by what they have in common, in the order in which that comes first."""
    found: dict[object, list[ModuleChange]] = {}
    for one in changes:
        found.setdefault(key(one), []).append(one)
    return {name: Group(some) for name, some in found.items()}


def inspected_text(found: InspectedRun, *, page: Page = PLAIN) -> str:
    """The answer of the verb.

    Args:
        found: What was measured.
        page: Width and colors.
    """
    lines = [
        *page.flow("inspected", [f"run {page.strong(found.run_id)} of {escaped(found.name)}", found.strategy]),
        *page.flow("training", summary_parts(found)),
    ]
    if modules := module_cells(found):
        lines += ["", *fitted(MODULE_HEADER, modules, page, right=(1, 2, 3, 4, 5))]
    if layers := layer_cells(found):
        lines += ["", *fitted(LAYER_HEADER, layers, page, right=(1, 2, 3, 4))]
    if found.tokens:
        words = [f"{escaped(repr(one.token))} {one.distance:.3g}" for one in found.tokens[:_SHOWN_TOKENS]]
        lines += ["", *page.flow("tokens", ["whose embeddings moved most", *words])]
    lines += ["", *(line for note in found.notes for line in page.flow("note", [escaped(note)]))]
    return "\n".join(lines).rstrip() + "\n"


def summary_parts(found: InspectedRun) -> list[str]:
    """How much was trained, and how far all of it moved."""
    parts = [f"{numbers.count(found.trained)} of {numbers.count(found.parameters)} parameters"]
    whole = Group(found.changes).relative
    if whole is not None:
        parts.append(f"the weights moved by {numbers.percent(whole)} of their norm")
    if found.states:
        last = found.states[-1]
        parts.append(f"states behind the last layer have a cosine of {last.cosine:.4f} to those before")
        parts.append(f"{numbers.count(found.places)} places in {numbers.plural(found.rows, 'row')} of {found.split}")
    return parts


def module_cells(found: InspectedRun) -> list[tuple[str, ...]]:
    """A line for each kind of module: how far it moved over all layers, and how many directions that has on average."""
    return [
        (
            escaped(str(name)),
            numbers.count(sum(one.parameters for one in group.changes)),
            "new" if group.relative is None else numbers.percent(group.relative),
            _decimal(group.mean(lambda one: one.stable_rank)),
            _decimal(group.mean(lambda one: one.effective_rank)),
            str(max((one.rank_limit for one in group.changes if one.rank_limit is not None), default="–")),
        )
        for name, group in groups(found.changes, lambda one: one.module).items()
    ]


def layer_cells(found: InspectedRun) -> list[tuple[str, ...]]:
    """A line for each layer: how far its weights moved, and how alike the states are that leave it."""
    moved = {key: group.relative for key, group in groups(found.changes, stack_and_layer).items()}
    states = {(one.stack, one.layer): one for one in found.states}
    keys = [key for key in dict.fromkeys([*states, *moved]) if isinstance(key, tuple) and key[1] is not None]
    stacks = {stack for stack, _ in keys}
    rows: list[tuple[str, ...]] = []
    for key in sorted(keys, key=lambda one: (list(dict.fromkeys(stack for stack, _ in keys)).index(one[0]), one[1])):
        name = str(key[1]) if len(stacks) == 1 else f"{key[0]} {key[1]}"
        share = moved.get(key)
        rows.append((escaped(name), "–" if share is None else numbers.percent(share), *_alike(states.get(key))))
    return rows


def stack_and_layer(one: ModuleChange) -> tuple[str, int | None]:
    """The name of the stack of layers that a weight is in, as `LayerStates` has it, and the layer's number."""
    if one.layer is None:
        return "", None
    before, _, _ = f"{one.name}.".partition(f".{one.layer}.")
    return before.rpartition("model.")[2], one.layer


def _alike(one: LayerStates | None) -> tuple[str, str, str]:
    return ("–", "–", "–") if one is None else (numbers.percent(one.change), f"{one.cosine:.4f}", f"{one.cka:.4f}")


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
