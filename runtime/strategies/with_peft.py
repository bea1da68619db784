"""Adapters that peft makes: its configuration for each strategy, and whether it reached what the plan says."""

from __future__ import annotations

from typing import Any, assert_never

from torch import nn

from ftc.runtime.models.heads import peft_task
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.settings import Settings
from ftc.spec.module_names import role_of
from ftc.spec.strategy_settings import (
    AdapterSettings,
    Ia3Settings,
    LnTuningSettings,
    PrefixTuningSettings,
    PromptTuningSettings,
    PTuningSettings,
)

__all__ = ["BESIDE_LAYERS", "PeftSettings", "adapter_config", "low_rank_config", "require", "require_count"]

BESIDE_LAYERS = (
    *("pooler", "classifier", "classification_head", "pre_classifier", "qa_outputs", "score"),
    *("cls", "predictions", "lm_head", "head"),
)
"""Modules beside the layers; a plan's adapters never mean them."""

PeftSettings = Ia3Settings | LnTuningSettings | PromptTuningSettings | PTuningSettings | PrefixTuningSettings


def adapter_config(peft: Any, model: Any, settings: Settings, strategy: PeftSettings, *, is_whole: bool) -> Any:
    """peft's configuration of a strategy.

    Args:
        peft: The package.
        model: The loaded base.
        settings: The plan's.
        strategy: The strategy among them.
        is_whole: Whether the base has its weights and all its layers.

    Raises:
        Refusal: FTC625, the model has other modules of the kind than the plan says.
    """
    common = {"task_type": peft_task(settings), "modules_to_save": list(strategy.trained_modules) or None}
    match strategy:
        case Ia3Settings():
            targets = _with_roles(model, ("keys_values", "feed_forward_out"))
            require(len(targets), strategy.num_modules, list(targets), is_whole=is_whole)
            last = [name for name in targets if role_of(name) == "feed_forward_out"]
            turned = any(type(module).__name__ == "Conv1D" for module in targets.values())
            return peft.IA3Config(
                target_modules=list(targets), feedforward_modules=last, fan_in_fan_out=turned, **common
            )
        case LnTuningSettings():
            names = _norms(model, strategy.trained_modules)
            require(len(names), strategy.num_modules, names, is_whole=is_whole)
            return peft.LNTuningConfig(target_modules=names, **common)
        case PromptTuningSettings():
            init = "SAMPLE_VOCAB" if strategy.init == "vocabulary" and is_whole else "RANDOM"
            return peft.PromptTuningConfig(
                num_virtual_tokens=strategy.virtual_tokens, prompt_tuning_init=init, **common
            )
        case PTuningSettings():
            return peft.PromptEncoderConfig(
                num_virtual_tokens=strategy.virtual_tokens,
                encoder_reparameterization_type=strategy.encoder.upper(),
                encoder_hidden_size=strategy.encoder_size,
                **common,
            )
        case PrefixTuningSettings():
            # Of a model of fewer layers, as traces have, the prefix still has all of them.
            return peft.PrefixTuningConfig(
                num_virtual_tokens=strategy.virtual_tokens,
                num_layers=strategy.num_layers,
                prefix_projection=strategy.projection_size is not None,
                encoder_hidden_size=strategy.projection_size,
                **common,
            )
        case _:
            assert_never(strategy)


def low_rank_config(peft: Any, model: Any, settings: Settings, adapter: AdapterSettings, *, is_whole: bool) -> Any:
    """peft's configuration of a low-rank adapter."""
    targets, others = _targeted(model, adapter)
    whole = [*adapter.trained_modules, *_named(model, adapter.also_trained)]
    return peft.LoraConfig(
        task_type=peft_task(settings),
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=list(adapter.targets),
        exclude_modules=others or None,
        modules_to_save=whole or None,
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in targets.values()),
        rank_pattern=_longest_first(adapter.ranks),
        alpha_pattern=_longest_first(adapter.alphas),
        use_rslora=adapter.rank_stabilized,
        use_dora=adapter.dora,
        # Shapes alone have no directions that an adapter could begin with.
        init_lora_weights=adapter.init if is_whole and adapter.init != "default" else True,
    )


def require_count(model: nn.Module, peft: Any, adapter: AdapterSettings) -> None:
    """Looks whether a low-rank adapter reached as many modules as the plan says.

    Raises:
        Refusal: FTC625, it didn't.
    """
    found = sum(isinstance(module, peft.tuners.lora.LoraLayer) for module in model.modules())
    require(found, adapter.num_modules, list(adapter.targets), is_whole=True)


def require(found: int, planned: int, names: list[str], *, is_whole: bool) -> None:
    """Compares the modules that a strategy finds with those that the plan counted, where the model has all layers.

    Raises:
        Refusal: FTC625, there are more or fewer.
    """
    if found == planned or not is_whole:
        return
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    summary = f"the plan adapts {planned} modules, the model has {found} of that name"
    help = "plan again with the installed version of transformers"
    raise Refusal([diagnostic("FTC625", summary, notes=f"targets: {shown}", help=help)])


def _with_roles(model: Any, roles: tuple[str, ...]) -> dict[str, nn.Module]:
    """Linear layers with one of these roles, by full name."""
    return {
        name: module
        for name, module in model.named_modules()
        if role_of(name) in roles and hasattr(module, "weight") and not set(BESIDE_LAYERS) & set(name.split("."))
    }


def _norms(model: Any, head: tuple[str, ...]) -> list[str]:
    """Full names of the norms of the backbone: modules that have a vector for a weight."""
    beside = {*BESIDE_LAYERS, *head}
    return [
        name
        for name, module in model.named_modules()
        if getattr(getattr(module, "weight", None), "ndim", 0) == 1 and not beside & set(name.split("."))
    ]


def _targeted(model: Any, adapter: AdapterSettings) -> tuple[dict[str, nn.Module], list[str]]:
    """Modules that get an adapter, and names of those that only bear the same last name."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    targets: dict[str, nn.Module] = {}
    others: list[str] = []
    for name, module in model.named_modules():
        parts = name.split(".")
        if parts[-1] not in adapter.targets:
            continue
        if module is head or any(part in (*BESIDE_LAYERS, *adapter.trained_modules) for part in parts):
            others.append(name)
        else:
            targets[name] = module
    return targets, sorted(others)


def _named(model: Any, ends: tuple[str, ...]) -> list[str]:
    """Full names of the modules whose names have one of these ends, in whole parts."""
    return [name for name, _ in model.named_modules() if any(name == end or name.endswith(f".{end}") for end in ends)]


def _longest_first(by_end: dict[str, int]) -> dict[str, int]:
    """In the order in which peft looks for the first that fits."""
    return dict(sorted(by_end.items(), key=lambda item: (-len(item[0]), item[0])))
