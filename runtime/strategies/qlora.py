"""QLoRA: low-rank adapters beside frozen linear layers of 4 or 8 bits."""

from __future__ import annotations

import logging
import os
from types import ModuleType
from typing import Any

from torch import nn

from ftc.runtime.models.base_model import Base, frozen_dtype, frozen_parts, keep_differentiable, load_base
from ftc.runtime.models.recomputing import checkpointing_options, keep_activations
from ftc.runtime.strategies.lora import lora_config, require_layers
from ftc.runtime.strategies.with_peft import OfPeft, peft_for
from ftc.spec.checkpointing import checkpointing_card
from ftc.spec.documents.settings import Settings
from ftc.spec.strategies.qlora import QLoraSettings
from ftc.spec.unquantized import unquantized

__all__ = ["OfQLora"]


class OfQLora(OfPeft[QLoraSettings]):
    """Beside packed weights."""

    def frozen(self, settings: Settings, strategy: QLoraSettings, base: Base) -> Any:
        """The base with its linear layers packed, and all else in float32; what reads images is as beside LoRA."""
        from transformers import BitsAndBytesConfig

        skipped = [*unquantized(settings)] or None
        if strategy.quantization == "int8":
            logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # a line for every product
            quantization = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)
        else:
            quantization = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type=strategy.quantization,
                bnb_4bit_use_double_quant=strategy.double_quantization,
                bnb_4bit_compute_dtype=frozen_dtype(settings),
                llm_int8_skip_modules=skipped,
            )
        # Some releases of transformers read ahead in threads: then as many weights of 16 bits lie on the card as
        # reading is ahead of packing, which no plan can know. A user's own choice stands.
        os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")
        quantized = load_base(settings, base, dtype=frozen_dtype(settings), quantization_config=quantization)
        keep_differentiable(quantized)
        value, parts = settings.train.activation_checkpointing, frozen_parts(settings)
        with peft_for(strategy) as peft:
            prepared = peft.prepare_model_for_kbit_training(
                quantized,
                use_gradient_checkpointing=checkpointing_card(value).recomputes,
                gradient_checkpointing_kwargs=checkpointing_options(quantized, value),
            )
        keep_activations(prepared, parts)
        for name, one in prepared.named_parameters():  # no buffers: rotations of a tower stay in float32
            if not set(parts).isdisjoint(name.split(".")):
                one.data = one.data.to(frozen_dtype(settings))
        return prepared

    def config(
        self, peft: ModuleType, model: Any, settings: Settings, strategy: QLoraSettings, *, is_whole: bool
    ) -> Any:
        """peft's configuration."""
        return lora_config(peft, model, settings, strategy.adapter, is_whole=is_whole)

    def check(self, model: nn.Module, peft: ModuleType, strategy: QLoraSettings) -> None:
        """As many modules as the plan says."""
        require_layers(model, peft, strategy.adapter)
