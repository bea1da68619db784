"""Rotary positions: which kinds a model's configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["BY_LENGTH", "rotation_kinds"]

BY_LENGTH = frozenset({"dynamic", "longrope"})
"""Kinds that change for all tokens once a row is longer than the model was made for."""


def rotation_kinds(places: Mapping[str, Any]) -> frozenset[str]:
    """The kinds in `rope_parameters` or `rope_scaling`, which may differ from one type of layer to another."""
    parts = (one for one in (places, *places.values()) if isinstance(one, Mapping))
    return frozenset(kind for one in parts if isinstance(kind := one.get("rope_type", one.get("type")), str))
