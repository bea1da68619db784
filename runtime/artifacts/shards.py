"""A model's weights in files of a size, with what they come from in each file's header."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from ftc.runtime.artifacts.tensor_files import Form, write_in_turn
from ftc.runtime.execution.session import Session
from ftc.spec.documents.provenance import METADATA_KEY, header_text, provenance_of
from ftc.spec.storage.model_files import INDEX_FILE, SINGLE_FILE

__all__ = ["write_shards"]


def write_shards(
    session: Session,
    forms: Mapping[str, Form],
    tensor_of: Callable[[str], torch.Tensor],
    metadata: Mapping[str, str],
    shard_bytes: int,
    folder: Path,
) -> None:
    """Writes weights in files of a size, with an index of more than one, and what they come from.

    Args:
        session: The run's.
        forms: Type and shape of each weight, by name.
        tensor_of: Makes one of such a form.
        metadata: What each file's header says beside its origin.
        shard_bytes: Most bytes of weights in one file.
        folder: Where.
    """
    made = provenance_of(session.plan)
    origin = made.model_copy(update={"adapter_sha256": session.state.record.final_weights_sha256})
    header = {"format": "pt", METADATA_KEY: header_text(origin), **metadata}
    shards = _shards(forms, shard_bytes)
    places: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = SINGLE_FILE if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        places |= dict.fromkeys(names, file)
        session.stop.check()
        write_in_turn(folder / file, {name: forms[name] for name in names}, tensor_of, header)
    if len(shards) > 1:
        size = sum(_bytes(forms[name]) for name in places)
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shards(forms: Mapping[str, Form], most: int) -> list[list[str]]:
    """Names of weights by file, in the model's order; a weight that is larger than a file may be has one alone."""
    shards: list[list[str]] = []
    room = 0
    for name, form in forms.items():
        size = _bytes(form)
        if not shards or size > room:
            shards.append([])
            room = most
        shards[-1].append(name)
        room -= size
    return shards


def _bytes(form: Form) -> int:
    dtype, shape = form
    return shape.numel() * dtype.itemsize
