"""Ranks and alphas of single modules: what patterns and kinds come to, and which of their names mean nothing. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field

from ftc.spec.base import Document, Effect
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.module_names import layer_name, part_of
from ftc.spec.strategies.card import Problem

__all__ = ["LowRankPattern", "ModuleName", "by_kind_or_pattern", "by_name", "misnamed"]

ModuleName = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$", max_length=200)]
"""The end of a module's name, of whole parts: `q_proj`, `layers.0.q_proj`."""


class LowRankPattern(Document):
    """Another rank or alpha for some of the adapted modules."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS
    UNITS: ClassVar[dict[str, str]] = {
        "layers": "layers, counted from 0",
        "rank": "dimensions",
        "alpha": "a pure number",
    }
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {
        "modules": (("q_proj", "v_proj"), ("layers.0.mlp.down_proj",)),
        "layers": ((0, 1, 2),),
        "rank": (4,),
        "alpha": (8,),
    }

    modules: Literal["all"] | Annotated[tuple[ModuleName, ...], Field(min_length=1)] = "all"
    """Ends of the names of adapted modules, of whole parts: `[q_proj]`, `[layers.0.mlp.down_proj]`. Default: all, so
    that `layers` alone decides."""
    layers: Literal["all"] | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = "all"
    """Layers that are meant, counted from 0; those of encoder and decoder, where there are both. Default: all, so that
    `modules` alone decides."""
    rank: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Their rank. Default: none, so that they keep the one that they have without this pattern."""
    alpha: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Their alpha. Default: none, so that they keep the one that they have without this pattern, which doesn't follow
    their rank."""


class _Patterned(Protocol):
    """A strategy with patterns."""

    @property
    def patterns(self) -> tuple[LowRankPattern, ...]: ...
    @property
    def ranks(self) -> Mapping[str, int]: ...
    @property
    def alphas(self) -> Mapping[str, int]: ...


def by_name(ends: Collection[str], name: str) -> str | None:
    """The longest of these ends of names that a module's name has, in whole parts; None where it has none."""
    fitting = [end for end in ends if name == end or name.endswith(f".{end}")]
    return max(fitting, key=len, default=None)


def by_kind_or_pattern(
    what: Literal["rank", "alpha"], strategy: _Patterned, by_kind: Mapping[str, int], adapted: Collection[str]
) -> dict[str, int]:
    """The value of each adapted module that has one of its own, by the shortest end of its name that means it alone.

    Modules that share their last name and their value have one entry.

    Args:
        what: Which of a pattern's values.
        strategy: Whose patterns count, the first that fits before others.
        by_kind: Values by the ends of names, for modules that no pattern means.
        adapted: Full names of the modules that have an adapter.
    """
    kinds: dict[str, dict[str, int | None]] = defaultdict(dict)
    for name in adapted:
        kinds[name.rpartition(".")[2]][name] = _value(what, strategy.patterns, by_kind, name)
    found: dict[str, int] = {}
    for kind, values in sorted(kinds.items()):
        is_shared = len({*values.values()}) == 1
        own = {kind if is_shared else _end(name, adapted): value for name, value in values.items()}
        found |= {end: value for end, value in own.items() if value is not None}
    return found


def _value(
    what: Literal["rank", "alpha"], patterns: Collection[LowRankPattern], by_kind: Mapping[str, int], name: str
) -> int | None:
    for pattern in patterns:
        value = pattern.rank if what == "rank" else pattern.alpha
        if value is not None and _fits(pattern, name):
            return value
    kind = by_name(by_kind, name)
    return None if kind is None else by_kind[kind]


def _fits(pattern: LowRankPattern, name: str) -> bool:
    part = part_of(f"{name}.weight")
    in_layers = pattern.layers == "all" or (part.kind == "layer" and part.layer in pattern.layers)
    return in_layers and (pattern.modules == "all" or by_name(pattern.modules, name) is not None)


def _end(name: str, adapted: Collection[str]) -> str:
    """The end of a name from its layer on, or from before it where two stacks have such a module."""
    end = layer_name(name)
    while sum(other == end or other.endswith(f".{end}") for other in adapted) > 1 and end != name:
        end = ".".join(name.split(".")[-end.count(".") - 2 :])
    return end


def misnamed(strategy: _Patterned, adapted: Collection[str]) -> Iterator[Problem]:
    """Names of kinds and of patterns that no adapted module has, and layers that there are none of."""
    for key, ends in (("ranks", strategy.ranks), ("alphas", strategy.alphas)):
        for end in ends:
            if not any(by_name((end,), name) for name in adapted):
                yield _no_such_name(key, end, adapted)
    for position, pattern in enumerate(strategy.patterns):
        yield from _misnamed_in(pattern, f"patterns[{position}]", adapted)


def _misnamed_in(pattern: LowRankPattern, path: str, adapted: Collection[str]) -> Iterator[Problem]:
    ends = () if pattern.modules == "all" else pattern.modules
    wrong = [end for end in ends if not any(by_name((end,), name) for name in adapted)]
    yield from (_no_such_name(f"{path}.modules[{ends.index(end)}]", end, adapted) for end in wrong)
    layers = {part.layer for name in adapted if (part := part_of(f"{name}.weight")).kind == "layer"}
    asked = () if pattern.layers == "all" else pattern.layers
    absent = [layer for layer in asked if layer not in layers]
    if absent:
        known = f"the last layer with adapters is {max(layers)}" if layers else "no layer has adapters"
        place = f"{path}.layers[{asked.index(absent[0])}]"
        yield Problem("FTC224", f"layer {absent[0]} has no adapter", place, f"{known}; layers are counted from 0")
    if not wrong and not absent and not any(_fits(pattern, name) for name in adapted):
        summary = "no adapted module has such a name in such a layer"
        yield Problem("FTC224", summary, path, "remove `modules` or `layers`")


def _no_such_name(path: str, end: str, adapted: Collection[str]) -> Problem:
    kinds = sorted({name.rpartition(".")[2] for name in adapted})
    names = kinds if "." not in end else [".".join(name.split(".")[-(end.count(".") + 1) :]) for name in adapted]
    close = nearest(end, names)
    hint = f"did you mean `{close}`? " if close else ""
    summary = f"no adapter has a name that ends in `{end}`"
    return Problem("FTC224", summary, path, f"{hint}adapted modules are {', '.join(kinds)}")
