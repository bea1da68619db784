"""Rotary positions: which kinds a model's configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["BY_LENGTH", "rotation_kinds", "rotation_of"]

BY_LENGTH = frozenset({"dynamic", "longrope"})
"""Kinds that change for all tokens once a row is longer than the model was made for."""


def rotation_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """How a `config.json` rotates positions; empty where it doesn't say. Of two places transformers reads the older."""
    found = config.get("rope_scaling") or config.get("rope_parameters")
    return found if isinstance(found, Mapping) else {}


def rotation_kinds(places: Mapping[str, Any]) -> frozenset[str]:
    """The kinds that a rotation has, which may differ from one type of layer to another."""
    parts = (one for one in (places, *places.values()) if isinstance(one, Mapping))
    return frozenset(kind for one in parts if isinstance(kind := one.get("rope_type", one.get("type")), str))
