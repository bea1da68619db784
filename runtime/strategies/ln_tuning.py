"""LN tuning: the weights of norms."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ftc.runtime.strategies.half import BESIDE_LAYERS, require
from ftc.runtime.strategies.with_peft import OfPeft, peft_config
from ftc.spec.documents.settings import Settings
from ftc.spec.strategies.ln_tuning import LnTuningSettings

__all__ = ["OfLnTuning", "replaces_layer"]


class OfLnTuning(OfPeft[LnTuningSettings]):
    """peft's own."""

    def config(
        self, peft: ModuleType, model: Any, settings: Settings, strategy: LnTuningSettings, *, is_whole: bool
    ) -> Any:
        """peft's configuration."""
        names = _norms(model, strategy.trained_modules)
        require(len(names), strategy.num_modules, names, is_whole=is_whole)
        return peft_config(peft, settings, strategy, target_modules=names)


def replaces_layer(layer: Any) -> bool:
    """Whether an adapter's layer stands in the place of the base's own, instead of something that is added to it."""
    return hasattr(layer, "ln_tuning_layers")


def _norms(model: Any, head: tuple[str, ...]) -> list[str]:
    """Full names of the norms of the backbone: modules that have a vector for a weight."""
    beside = {*BESIDE_LAYERS, *head}
    return [
        name
        for name, module in model.named_modules()
        if getattr(getattr(module, "weight", None), "ndim", 0) == 1 and not beside & set(name.split("."))
    ]
