"""Other tools' words for what a recipe can say: strategies, optimizers, schedules."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "COMPONENTS",
    "METRICS",
    "OPTIMIZERS",
    "OPTIMIZER_VALUES",
    "SCHEDULES",
    "SCHEDULE_COMPONENTS",
    "SCHEDULE_KINDS",
    "STRATEGIES",
    "WITHOUT_WARMUP",
    "choose_strategy",
]

STRATEGIES: Mapping[str, Mapping[str, str]] = {
    "axolotl": {"lora": "lora", "qlora": "qlora"},
    "llamafactory": {"full": "full", "freeze": "partial", "lora": "lora"},
}
"""Kinds of strategies by a tool's words for them."""

OPTIMIZERS: Mapping[str, str] = {
    **dict.fromkeys(("adamw", "adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused"), "adamw"),
    **dict.fromkeys(("adamw_8bit", "adamw_bnb_8bit", "adamw_torch_8bit"), "adamw_8bit"),
    **dict.fromkeys(("paged_adamw", "paged_adamw_32bit"), "adamw_paged"),
    **{"paged_adamw_8bit": "adamw_8bit_paged", "lion_32bit": "lion", "lion": "lion", "lion_8bit": "lion_8bit"},
    **{"adafactor": "adafactor", "sgd": "sgd"},
}
"""Kinds of optimizers by the words of transformers' trainer, which most tools hand on."""

COMPONENTS: Mapping[str, str] = {
    **dict.fromkeys(("torch.optim.AdamW", "torch.optim.adamw.AdamW"), "adamw"),
    **dict.fromkeys(("bitsandbytes.optim.AdamW8bit", "torchao.optim.AdamW8bit"), "adamw_8bit"),
    **dict.fromkeys(("bitsandbytes.optim.PagedAdamW", "bitsandbytes.optim.PagedAdamW32bit"), "adamw_paged"),
    **dict.fromkeys(("bitsandbytes.optim.Lion", "bitsandbytes.optim.Lion32bit"), "lion"),
    **{"bitsandbytes.optim.PagedAdamW8bit": "adamw_8bit_paged", "bitsandbytes.optim.Lion8bit": "lion_8bit"},
    **{"transformers.Adafactor": "adafactor", "torch.optim.SGD": "sgd"},
}
"""Kinds of optimizers by the paths of classes that torchtune's configurations name."""

OPTIMIZER_VALUES: Mapping[str, Mapping[str, tuple[float, str]]] = {
    "sgd": {"momentum": (0, "the other tools' SGD has none")}
}
"""Values that these tools set otherwise than ftc, by kind of optimizer and key, with the reason."""

METRICS: Mapping[str, str] = {"f1": "macro_f1"}
"""Metrics by other words for them."""

SCHEDULE_KINDS = ("constant", "linear", "cosine", "warmup_stable_decay", "plateau")
"""Every kind of schedule."""

SCHEDULES: Mapping[str, str] = {
    **dict.fromkeys(("constant", "constant_with_warmup"), "constant"),
    **{"linear": "linear", "cosine": "cosine", "warmup_stable_decay": "warmup_stable_decay"},
    "reduce_lr_on_plateau": "plateau",
}
"""Kinds of schedules by the words of transformers' trainer."""

WITHOUT_WARMUP = frozenset(("constant",))
"""Those of these words that mean a schedule without a warm-up."""

SCHEDULE_COMPONENTS: Mapping[str, str] = {
    "get_constant_schedule_with_warmup": "constant",
    "get_linear_schedule_with_warmup": "linear",
    "get_cosine_schedule_with_warmup": "cosine",
}
"""Kinds of schedules by the ends of the paths of functions that torchtune's configurations name."""


def choose_strategy(tool: str) -> str:
    """What a tool's user can do where ftc has no such strategy."""
    *others, last = STRATEGIES[tool]
    return f"choose {', '.join(others)} or {last}"
