"""From a plan to a model that can be trained: the only place that loads weights, one builder for each strategy.

Weights come from the folder whose digests `verify` has compared with the plan, from safetensors files alone, without
the network, and no code of a model's folder is ever run. The memory trace builds its model here too, from shapes
alone: it hands in another `Base`, and everything behind it is the same code.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, assert_never

import torch
from torch import nn

from ftc.runtime.models.heads import auto_class, head_options, num_outputs
from ftc.runtime.models.peft_import import peft_with_bitsandbytes, peft_without_bitsandbytes
from ftc.runtime.strategies.bottleneck import add_bottlenecks, places_of
from ftc.runtime.strategies.partial import choose_weights
from ftc.runtime.strategies.virtual_tokens import agree_on_cache
from ftc.runtime.strategies.with_peft import (
    BESIDE_LAYERS,
    PeftSettings,
    adapter_config,
    low_rank_config,
    require,
    require_count,
)
from ftc.runtime.training.neftune import add_noise
from ftc.runtime.training.seeding import seed_everything
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.settings import Settings
from ftc.spec.strategy_settings import (
    AdapterSettings,
    BitFitSettings,
    BottleneckSettings,
    FullSettings,
    LoraSettings,
    PartialSettings,
    QLoraSettings,
    virtual_tokens,
)

__all__ = [
    "Base",
    "FolderBase",
    "build_model",
    "keep_differentiable",
    "load_base",
    "quiet_transformers",
    "trainable_tensors",
]


class Base(Protocol):
    """Where a base model comes from."""

    @property
    def is_whole(self) -> bool:
        """Whether it has all layers, so that the plan's counts of modules hold."""
        ...

    def load(self, kind: Any, options: dict[str, Any]) -> Any:
        """A model of the class that `kind`, one of transformers' Auto classes, finds for it.

        Args:
            kind: Decides about the head.
            options: `dtype`, `attn_implementation`, `quantization_config`, and values for the model's configuration.

        Raises:
            OSError, ValueError, KeyError, RuntimeError: It can't be loaded; the text is shown.
        """
        ...


class FolderBase:
    """A model's folder, with all its weights.

    Raises:
        Refusal: FTC634, an adapter lies beside the weights.
    """

    is_whole = True

    def __init__(self, folder: Path) -> None:
        if (folder / "adapter_config.json").exists():
            raise Refusal([_adapter_in_base()])
        self._folder = folder

    def load(self, kind: Any, options: dict[str, Any]) -> Any:
        """The weights, from safetensors files and without the network."""
        return kind.from_pretrained(self._folder, local_files_only=True, use_safetensors=True, **options)


def build_model(settings: Settings, base: Base, device: torch.device) -> nn.Module:
    """The model as it is before the first step, on its device, in evaluation mode.

    Its new weights depend on `settings.seeds.init` and on nothing else.

    Raises:
        Refusal: The base can't be loaded, or it isn't the model that the plan describes.
    """
    match settings.strategy:
        case FullSettings():
            model = _full(settings, base)
        case PartialSettings() | BitFitSettings():
            model = _full(settings, base)
            choose_weights(model, settings.strategy)
        case LoraSettings(adapter=adapter):
            model = _lora(settings, adapter, base)
        case QLoraSettings(adapter=adapter):
            model = _qlora(settings, settings.strategy, adapter, base)
        case BottleneckSettings():
            model = _bottleneck(settings, settings.strategy, base)
        case _:
            model = _with_peft(settings, settings.strategy, base)
    if settings.train.neftune_alpha is not None:
        add_noise(model, settings.train.neftune_alpha)
    placed: nn.Module = model.to(device).eval()
    return placed


def trainable_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name; a shared one appears once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _full(settings: Settings, base: Base) -> Any:
    # Master weights stay in float32; the arithmetic follows the plan's precision.
    model = load_base(settings, base, dtype=torch.float32)
    if settings.train.activation_checkpointing:
        _checkpoint_activations(model)
    model.requires_grad_(True)
    return model


def _frozen(settings: Settings, base: Base) -> Any:
    model = load_base(settings, base, dtype=_frozen_dtype(settings))
    model.requires_grad_(False)
    if settings.train.activation_checkpointing:
        _checkpoint_activations(model)
    return model


def _lora(settings: Settings, adapter: AdapterSettings, base: Base) -> nn.Module:
    model = _frozen(settings, base)
    with peft_without_bitsandbytes() as peft:
        return _add_adapter(peft, model, settings, adapter, base)


def _with_peft(settings: Settings, strategy: PeftSettings, base: Base) -> nn.Module:
    model = _frozen(settings, base)
    with peft_without_bitsandbytes() as peft:
        config = adapter_config(peft, model, settings, strategy, is_whole=base.is_whole)
        return _adapted(peft, model, settings, config)


def _bottleneck(settings: Settings, strategy: BottleneckSettings, base: Base) -> nn.Module:
    model: nn.Module = _frozen(settings, base)
    places = places_of(model, strategy.placement, BESIDE_LAYERS)
    require(len(places), strategy.num_modules, places, is_whole=base.is_whole)
    seed_everything(settings.seeds.init)
    add_bottlenecks(model, strategy, places)
    for name, parameter in model.named_parameters():
        if set(name.split(".")) & set(strategy.trained_modules):
            parameter.requires_grad_(True)
            parameter.data = parameter.data.float()
    return model


def _qlora(settings: Settings, strategy: QLoraSettings, adapter: AdapterSettings, base: Base) -> nn.Module:
    from transformers import BitsAndBytesConfig

    peft = peft_with_bitsandbytes()
    skipped = list(adapter.trained_modules) or None  # quantised weights can't be trained
    if strategy.quantization == "int8":
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # a line for every product
        quantization = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)
    else:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=strategy.quantization,
            bnb_4bit_use_double_quant=strategy.double_quantization,
            bnb_4bit_compute_dtype=_frozen_dtype(settings),
            llm_int8_skip_modules=skipped,
        )
    _read_one_by_one()
    quantised = load_base(settings, base, dtype=_frozen_dtype(settings), quantization_config=quantization)
    keep_differentiable(quantised)
    model = peft.prepare_model_for_kbit_training(
        quantised,
        use_gradient_checkpointing=settings.train.activation_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
    )
    return _add_adapter(peft, model, settings, adapter, base)


def _read_one_by_one() -> None:
    """Has transformers read a weight once the one before it is packed; a user's own choice stands.

    Some releases read ahead in threads: then as many weights of 16 bits lie on the card as reading is ahead of packing,
    which no plan can know.
    """
    os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")


def load_base(settings: Settings, base: Base, *, is_new: bool = True, **options: Any) -> Any:
    """The one call that loads a model.

    Args:
        settings: Which head it has, and how it computes attention.
        base: Where it comes from.
        is_new: Whether its head is made anew, with names for its outputs.
        options: How its weights are held.

    Raises:
        Refusal: It can't be loaded (FTC635).
    """
    options |= {"attn_implementation": settings.model.attention, "pad_token_id": settings.model.pad_id}
    options |= head_options(settings) if is_new else num_outputs(settings)
    seed_everything(settings.seeds.init)  # a new head is drawn while the model is loaded
    try:
        with quiet_transformers():
            return base.load(auto_class(settings), options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise Refusal([_not_loadable(settings, error)]) from error


def _add_adapter(peft: Any, model: Any, settings: Settings, adapter: AdapterSettings, base: Base) -> nn.Module:
    config = low_rank_config(peft, model, settings, adapter, is_whole=base.is_whole)
    adapted = _adapted(peft, model, settings, config)
    if base.is_whole:
        require_count(adapted, peft, adapter)
    return adapted


def _adapted(peft: Any, model: Any, settings: Settings, config: Any) -> nn.Module:
    seed_everything(settings.seeds.init)  # the adapter is drawn here
    with quiet_transformers():
        warnings.filterwarnings("ignore", "Unsupported layer type")  # peft asks norms for their inputs and outputs
        adapted: nn.Module = peft.get_peft_model(model, config, autocast_adapter_dtype=True)
    if virtual_tokens(settings.strategy):
        agree_on_cache(adapted)
    for parameter in trainable_tensors(adapted).values():  # steps are too small for 16 bits
        parameter.data = parameter.data.float()
    return adapted


def _frozen_dtype(settings: Settings) -> torch.dtype:
    match settings.train.precision:
        case "float32":
            return torch.float32
        case "bfloat16":
            return torch.bfloat16
        case _:
            assert_never(settings.train.precision)


def keep_differentiable(model: Any) -> None:
    """Forbids a form of 4-bit weights that is for inference alone.

    On some processors bitsandbytes repacks weights at the first evaluation, for a kernel that no gradient passes; the
    training steps after a look at validation would then learn next to nothing, without an error.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _checkpoint_activations(model: Any) -> None:
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Leaves progress bars and the news of a new head to ftc's own events, and old names to those who use them."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _adapter_in_base() -> Any:
    return diagnostic(
        "FTC634",
        "the model's folder holds an adapter beside the base weights",
        notes="`adapter_config.json` makes transformers load more than the plan's files",
        help="move its two files elsewhere; `ftc merge` makes a whole model of a run's adapter",
    )


def _not_loadable(settings: Settings, error: Exception) -> Any:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return diagnostic(
        "FTC635",
        f"`{settings.model.base}` can't be loaded as {settings.model.architecture}",
        notes=f"transformers says: {reason[0][:300]}",
        help="check the model's folder with `ftc plan`, or take another version of transformers",
    )
