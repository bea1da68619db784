"""LoRA: low-rank adapters beside frozen linear layers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from torch import nn

from ftc.runtime.models.base_model import Base
from ftc.runtime.models.quantized_layers import round_in_training, round_with_adapter
from ftc.runtime.strategies.half import BESIDE_LAYERS, VISION_PARTS, require
from ftc.runtime.strategies.with_peft import OfPeft, peft_config
from ftc.spec.documents.settings import Settings
from ftc.spec.strategies.lora import AdapterSettings, LoraSettings

__all__ = ["OfLora", "lora_config", "require_layers", "targeted"]


class OfLora(OfPeft[LoraSettings]):
    """Beside weights as they are, or rounded with it in each pass."""

    def frozen(self, settings: Settings, strategy: LoraSettings, base: Base) -> Any:
        """The base, whose linear layers round their weights where the plan says so."""
        model = super().frozen(settings, strategy, base)
        if (rounded := settings.train.quantize_aware) is not None:
            names = round_in_training(model, rounded)
            require(len(names), rounded.num_modules, names, is_whole=base.is_whole)
        return model

    def config(
        self, peft: ModuleType, model: Any, settings: Settings, strategy: LoraSettings, *, is_whole: bool
    ) -> Any:
        """peft's configuration."""
        config = lora_config(peft, model, settings, strategy.adapter, is_whole=is_whole)
        if settings.train.quantize_aware is not None:
            config._register_custom_module(round_with_adapter(peft))
        return config

    def check(self, model: nn.Module, peft: ModuleType, strategy: LoraSettings) -> None:
        """As many modules as the plan says."""
        require_layers(model, peft, strategy.adapter)


def lora_config(peft: ModuleType, model: Any, settings: Settings, adapter: AdapterSettings, *, is_whole: bool) -> Any:
    """peft's configuration of a low-rank adapter."""
    targets, others = targeted(model, adapter.targets, adapter.trained_modules)
    whole = [*adapter.trained_modules, *_named(model, adapter.also_trained)]
    return peft_config(
        peft,
        settings,
        settings.strategy,
        target_modules=list(adapter.targets),
        **({"target_parameters": list(adapter.target_parameters)} if adapter.target_parameters else {}),
        exclude_modules=others or None,
        modules_to_save=whole or None,
        trainable_token_indices=_token_rows(model, adapter, whole) or None,
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in targets.values()),
        # Shapes alone have no directions that an adapter could begin with.
        init_lora_weights=adapter.init if is_whole and adapter.init != "default" else True,
    )


def require_layers(model: nn.Module, peft: ModuleType, adapter: AdapterSettings) -> None:
    """Looks whether a low-rank adapter reached as many modules as the plan says.

    Raises:
        Refusal: FTC625, it didn't.
    """
    found = sum(isinstance(module, peft.tuners.lora.LoraLayer) for module in model.modules())
    names = [*adapter.targets, *adapter.target_parameters]
    require(found, adapter.num_modules + adapter.num_parameters, names, is_whole=True)


def targeted(
    model: Any, targets: tuple[str, ...], new_modules: tuple[str, ...]
) -> tuple[dict[str, nn.Module], list[str]]:
    """Modules that get an adapter, and names of those that only bear the same last name."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    found: dict[str, nn.Module] = {}
    others: list[str] = []
    for name, module in model.named_modules():
        parts = name.split(".")
        if parts[-1] not in targets:
            continue
        if module is head or any(part in (*BESIDE_LAYERS, *VISION_PARTS, *new_modules) for part in parts):
            others.append(name)
        else:
            found[name] = module
    return found, sorted(others)


def _token_rows(model: Any, adapter: AdapterSettings, whole: list[str]) -> dict[str, list[int]]:
    """Rows of added tokens by the full name of the table that holds them; peft follows weights that two of them share.

    A table that is trained whole has them anyway.
    """
    if not adapter.token_ids:
        return {}
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    is_own = head is not None and head.weight is not table.weight
    found = [name for name, one in model.named_modules() if one is table or (is_own and one is head)]
    return {name: list(adapter.token_ids) for name in found if name not in whole}


def _named(model: Any, ends: tuple[str, ...]) -> list[str]:
    """Full names of the modules whose names have one of these ends, in whole parts."""
    return [name for name, _ in model.named_modules() if any(name == end or name.endswith(f".{end}") for end in ends)]
