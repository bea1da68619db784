"""From a plan to a model that can be trained: the base, and what its strategy does to it."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftc.runtime.artifacts.tensor_files import content_digest, read_tensors
from ftc.runtime.execution.accelerator import agreed
from ftc.runtime.models.base_model import (
    Base,
    FolderBase,
    scale_rotation,
)
from ftc.runtime.models.packed_layers import pack_layers
from ftc.runtime.models.sharding import description
from ftc.runtime.strategies import half_of
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.lineage import ADAPTER_WEIGHTS, Parent
from ftc.spec.documents.settings import Settings

__all__ = ["ShapesBase", "add_noise", "build_model", "build_once", "continue_adapter"]

_LOADING = ("attn_implementation", "dtype")
"""Options of loading that are no values of a model's configuration."""


def build_model(settings: Settings, base: Base, device: torch.device) -> nn.Module:
    """The model as it is before the first step, on its device, in evaluation mode.

    Its new weights depend on `settings.seeds.init` and on nothing else.

    Raises:
        Refusal: The base can't be loaded, or it isn't the model that the plan describes.
    """
    model = half_of(settings.strategy).build(settings, settings.strategy, base)
    if settings.train.neftune_alpha is not None:
        add_noise(model, settings.train.neftune_alpha)
    placed: nn.Module = model.to(device).eval()
    return placed


class ShapesBase:
    """A model's folder, of which the configuration is read and no weight."""

    is_whole = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, kind: Any, options: dict[str, Any]) -> Any:
        """The model on tensors without memory, with what else reading the folder would give it."""
        from transformers import AutoConfig, GenerationConfig

        values = {key: value for key, value in options.items() if key not in (*_LOADING, "rope", "packed")}
        config = AutoConfig.from_pretrained(self._folder, local_files_only=True, **values)
        vars(config).pop("quantization_config", None)  # loading dequantizes, or keeps layers in ftc's own way
        if "rope" in options:
            scale_rotation(config, options["rope"])
        model = kind.from_config(config, **{key: options[key] for key in _LOADING})
        if "packed" in options:
            pack_layers(model, options["packed"])
        if model.can_generate():
            with suppress(OSError):  # a folder need not have one
                model.generation_config = GenerationConfig.from_pretrained(self._folder, local_files_only=True)
        return model


def build_once(accelerator: Any, settings: Settings, folder: Path) -> nn.Module:
    """A model before its first step, to be sharded: whole in the first process, and in the others without values.

    So host RAM holds it once and not once a process. The others build the same modules by the same builder on tensors
    without memory, and get values layer by layer while the model is sharded. A process that
    can't build the first one's model from its configuration reads it, too.

    Raises:
        Refusal: It can't be read, or isn't the plan's; in all processes.
    """
    model, found = _built(settings, FolderBase(folder) if accelerator.is_main_process else ShapesBase(folder))
    wanted = agreed(accelerator, lambda: found if model is None else description(model))
    if not isinstance(wanted, dict):
        raise Refusal(wanted)
    if model is None or description(model) != wanted:
        return build_model(settings, FolderBase(folder), torch.device("cpu"))
    return model


def continue_adapter(model: nn.Module, settings: Settings, folder: Path, parent: Parent) -> None:
    """Puts the adapter that an earlier run left into a model that was just built; one without values gets them later.

    Raises:
        Refusal: It can't be read, or the model doesn't take all of it (FTC630).
    """
    if any(one.is_meta for one in model.parameters()):
        return
    half, strategy = half_of(settings.strategy), settings.strategy
    try:
        tensors = read_tensors(folder / ADAPTER_WEIGHTS)
        half.load(model, strategy, tensors)
        taken = content_digest(half.saved(model, strategy))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        taken = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if taken != parent.weights_sha256:
        summary = f"the model does not take the adapter of run `{parent.run_id}`"
        help = "name a run with the same base, task and strategy, or set `model.create_new_adapter: true`"
        raise Refusal([diagnostic("FTC630", summary, notes=taken, help=help)])


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


def add_noise(model: Any, alpha: float) -> None:
    """Hooks NEFTune's noise (Jain et al. 2023) behind a model's embeddings, for good; none is drawn in evaluation."""
    model.get_input_embeddings().register_forward_hook(partial(_shake, alpha))


def _shake(alpha: float, table: nn.Module, _inputs: Any, words: torch.Tensor) -> torch.Tensor | None:
    """(B, T, H) embeddings, each moved by at most alpha / sqrt(T * H)."""
    if not table.training:
        return None
    most = alpha / (words.shape[1] * words.shape[2]) ** 0.5
    return words + torch.zeros_like(words).uniform_(-most, most)
