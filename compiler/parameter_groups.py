"""Learning rates by parameters' names: the recipe's own groups, and the layers of a decay."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from ftc.compiler.draft import Draft, Reasons
from ftc.compiler.weights import base_of
from ftc.spec.documents.loss_settings import GroupSettings
from ftc.spec.module_names import Part, depths_of, embedding_part, part_of
from ftc.spec.parameter_patterns import close_names, fits, fits_any
from ftc.spec.strategies.chosen import is_tied_output

__all__ = ["check_groups", "group_settings"]

_GROUPS, _DECAY = "parameter_groups", "layer_decay"


def group_settings(draft: Draft, why: Reasons, rate: float) -> dict[str, Any]:
    """Learning rates by name; nothing where everything learns at one rate.

    Args:
        draft: With its strategy settled.
        why: Gets the origin.
        rate: The peak learning rate of everything else.
    """
    asked, decay = draft.recipe.train.parameter_groups, draft.recipe.train.layer_decay
    if not asked and decay is None:
        return {}
    own = tuple(GroupSettings(parameters=one.parameters, learning_rate=one.learning_rate) for one in asked)
    if decay is None:
        return {_GROUPS: why.take(_GROUPS, own)}
    groups = (*own, *_decayed(draft, rate, decay))
    reason = f"`layer_decay` {decay:g} from the last layer to the embeddings"
    return {_GROUPS: why.derive(_GROUPS, groups, f"those of the recipe, and {reason}" if own else reason)}


def _decayed(draft: Draft, rate: float, decay: float) -> Iterator[GroupSettings]:
    """A group for each layer of each stack, the last one first, and one for the embeddings."""
    depths = depths_of(draft.model.tensors)
    names = sorted(draft.trained.names)
    layers: dict[Part, str] = {}
    for name in names:
        if (part := part_of(f"{name}.weight")).kind == "layer":
            layers.setdefault(part, name)
    for part in sorted(layers, key=lambda one: (one.stack, -one.layer)):
        pattern, steps = _layer_pattern(part, layers[part], depths), depths[part.stack] - part.layer
        yield GroupSettings(parameters=(pattern,), learning_rate=_lowered(rate, decay, steps))
    outside = [name for name in names if part_of(f"{name}.weight").kind == "embeddings"]
    if tables := dict.fromkeys(word for name in outside if (word := embedding_part(f"{name}.weight"))):
        lowest = 1 + max((depths[part.stack] for part in layers), default=max(depths.values(), default=0))
        yield GroupSettings(parameters=tuple(tables), learning_rate=_lowered(rate, decay, lowest))


def _lowered(rate: float, decay: float, steps: int) -> float:
    return float(f"{rate * decay**steps:.6g}")


def _layer_pattern(part: Part, name: str, stacks: Collection[str]) -> str:
    """`layers.3`, with the stack's own name before it where there are several."""
    word = name.removeprefix(f"{part.stack}.").partition(".")[0]
    stack = f"{part.stack.rpartition('.')[2]}." if len(stacks) > 1 and part.stack else ""
    return f"{stack}{word}.{part.layer}"


def check_groups(draft: Draft) -> Draft:
    """Every pattern fits something that is trained and that no group before has, and experts stay together."""
    left = set(draft.trained.names)
    for number, group in enumerate(draft.recipe.train.parameter_groups):
        for position, pattern in enumerate(group.parameters):
            found = {name for name in draft.trained.names if fits(pattern, name)}
            if not found and is_tied_output(pattern, group.parameters, draft.model):
                continue
            if problem := _problem(draft, pattern, found, left):
                code, summary, help = problem
                place = f"train.{_GROUPS}[{number}].parameters[{position}]"
                draft = draft.find(code, summary, place, help=help)
        left = {name for name in left if not fits_any(group.parameters, (name,))}
    decay, groups = draft.recipe.train.layer_decay, draft.recipe.train.parameter_groups
    if decay is not None and len(draft.train.parameter_groups) == len(groups):
        summary = f"`{draft.strategy.kind}` trains nothing in layers or embeddings, so `{_DECAY}` has no effect"
        draft = draft.find("FTC454", summary, f"train.{_DECAY}", help="remove it")
    return draft


def _problem(draft: Draft, pattern: str, found: Collection[str], left: set[str]) -> tuple[str, str, str] | None:
    """Code, summary and help for a pattern that can't have a rate of its own; None where it can."""
    if not found:
        if fits_any((pattern,), base_of(draft).head_modules):
            return "FTC452", f"`{pattern}` is the new head", "set `train.head_learning_rate`"
        summary = f"nothing that is trained has a name with `{pattern}`"
        return "FTC452", summary, close_names(pattern, sorted(draft.trained.names))
    if left.isdisjoint(found):
        help = "remove it, or write its group before the others"
        return "FTC452", f"earlier groups have all parameters that fit `{pattern}`", help
    mixture = draft.model.kind.experts
    experts = [name for name in found if mixture and mixture.is_expert(name)]
    if mixture and any(not fits(pattern, mixture.expert_module(name)) for name in experts):
        return "FTC453", f"`{pattern}` fits single weights of experts", "name all experts of a layer, as in `experts`"
    return None
