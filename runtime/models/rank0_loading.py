"""One process reads a model that is then divided, so that the host's memory holds it once and not once a process.

The others build the same modules from the configuration alone, by the same builder on tensors without memory, and get
values layer by layer while the model is divided.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftc.runtime.execution.accelerator import agreed
from ftc.runtime.models.build_model import Base, FolderBase, build_model
from ftc.runtime.models.materialize import description
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.settings import Settings

__all__ = ["ShapesBase", "build_once"]

_LOADING = ("attn_implementation", "dtype")
"""Options of loading that are no values of a model's configuration."""


class ShapesBase:
    """A model's folder, of which the configuration is read and no weight."""

    is_whole = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, kind: Any, options: dict[str, Any]) -> Any:
        """The model on tensors without memory, with what else reading the folder would give it."""
        from transformers import AutoConfig, GenerationConfig

        values = {key: value for key, value in options.items() if key not in _LOADING}
        config = AutoConfig.from_pretrained(self._folder, local_files_only=True, **values)
        model = kind.from_config(config, **{key: options[key] for key in _LOADING})
        if model.can_generate():
            with suppress(OSError):  # a folder need not have one
                model.generation_config = GenerationConfig.from_pretrained(self._folder, local_files_only=True)
        return model


def build_once(accelerator: Any, settings: Settings, folder: Path) -> nn.Module:
    """A model before its first step, to be divided: whole in the first process, and in the others without values.

    A process that can't build the first one's model from its configuration reads it, too.

    Raises:
        Refusal: It can't be read, or isn't the plan's; in all processes.
    """
    model, found = _built(settings, FolderBase(folder) if accelerator.is_main_process else ShapesBase(folder))
    told = agreed(accelerator, lambda: found if model is None else description(model))
    if not isinstance(told, dict):
        raise Refusal(told)
    if model is None or description(model) != told:
        return build_model(settings, FolderBase(folder), torch.device("cpu"))
    return model


def _built(settings: Settings, base: Base) -> tuple[nn.Module | None, Any]:
    """A model, or what speaks against it."""
    is_read = isinstance(base, FolderBase)
    place = torch.device("cpu" if is_read else "meta")
    try:
        with nullcontext() if is_read else place:
            return build_model(settings, base, place), None
    except Refusal as refusal:
        return None, refusal.diagnostics
    except Exception:
        if is_read:
            raise
        return None, []  # some modules look at values when they are made; this process then reads the model, too
