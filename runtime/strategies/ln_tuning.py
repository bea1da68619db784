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
        beside = {*BESIDE_LAYERS, *strategy.trained_modules}
        names = [
            name
            for name, module in model.named_modules()
            if getattr(getattr(module, "weight", None), "ndim", 0) == 1 and not beside & set(name.split("."))
        ]
        require(len(names), strategy.num_modules, names, is_whole=is_whole)
        return peft_config(peft, settings, strategy, target_modules=names)


def replaces_layer(layer: Any) -> bool:
    """Whether an adapter's layer stands in the place of the base's own, instead of something that is added to it."""
    return hasattr(layer, "ln_tuning_layers")
