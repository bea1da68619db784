"""IA3: learned scales of keys, values and feed-forward layers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ftc.runtime.strategies.half import require
from ftc.runtime.strategies.with_peft import OfPeft, peft_config, with_roles
from ftc.spec.documents.settings import Settings
from ftc.spec.module_names import role_of
from ftc.spec.strategies.ia3 import ROLES, Ia3Settings

__all__ = ["OfIa3"]


class OfIa3(OfPeft[Ia3Settings]):
    """peft's own."""

    def config(self, peft: ModuleType, model: Any, settings: Settings, strategy: Ia3Settings, *, is_whole: bool) -> Any:
        """peft's configuration."""
        targets = with_roles(model, ROLES)
        require(len(targets), strategy.num_modules, list(targets), is_whole=is_whole)
        return peft_config(
            peft,
            settings,
            strategy,
            target_modules=list(targets),
            feedforward_modules=[name for name in targets if role_of(name) == "feed_forward_out"],
            fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in targets.values()),
        )
