"""Families of models that people fine-tune today, beside dense text models: what each is called."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXPERTS", "IMAGES", "MISSING", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """A family.

    Attributes:
        title: As people call it.
        model_type: As config.json calls it.
        public: A public model of it, whose sizes `benchmarks/experts.py` or `benchmarks/images.py` plans; None where no
            benchmark does.
    """

    title: str
    model_type: str
    public: str | None

    def __str__(self) -> str:
        """Its name in the list of tests."""
        return self.model_type


EXPERTS = (
    Family("Mixtral", "mixtral", "Mixtral-8x7B"),
    Family("Qwen2-MoE", "qwen2_moe", "Qwen1.5-MoE-A2.7B"),
    Family("Qwen3-MoE", "qwen3_moe", "Qwen3-30B-A3B"),
    Family("OLMoE", "olmoe", "OLMoE-1B-7B"),
    Family("gpt-oss", "gpt_oss", "gpt-oss-20b"),
    Family("DeepSeek-V2", "deepseek_v2", "DeepSeek-V2-Lite"),
    Family("DeepSeek-V3", "deepseek_v3", "DeepSeek-V3"),
    Family("Granite-MoE", "granitemoe", "Granite-3.0-1B-A400M"),
)
"""Mixtures of experts."""
IMAGES = (
    Family("LLaVA", "llava", "LLaVA-1.5-7B"),
    Family("LLaVA-Next", "llava_next", "LLaVA-1.6-Mistral-7B"),
    Family("Qwen2-VL", "qwen2_vl", "Qwen2-VL-2B"),
    Family("Qwen2.5-VL", "qwen2_5_vl", "Qwen2.5-VL-3B"),
    Family("Qwen3-VL", "qwen3_vl", "Qwen3-VL-4B"),
    Family("Gemma 3", "gemma3", "Gemma-3-4B"),
    Family("SmolVLM", "smolvlm", "SmolVLM-256M"),
    Family("Idefics 3", "idefics3", "Idefics3-8B"),
    Family("PaliGemma", "paligemma", "PaliGemma-3B-224"),
    Family("InternVL", "internvl", "InternVL3-8B"),
)
"""Models that read images."""
MISSING = (
    Family("Llama 3.2 Vision", "mllama", None),
    Family("Pixtral", "pixtral", None),
)
"""Models that ftc refuses by name (FTC308) until it has a row for them."""
