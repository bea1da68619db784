"""What the installed transformers knows of a kind of model, read off its text; nothing is imported.

Which attention kernels a kind of model has: its class whose name ends in `PreTrainedModel`, from which its others
inherit, says so in two plain assignments. Where transformers isn't installed, or says it in another way, nothing is
known.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ftc.spec.sections.model import AttentionKernel

__all__ = ["attention_kernels", "is_known", "kernels_in"]

_CLASS = re.compile(r"^class (?P<name>\w+)\((?P<bases>[^)]*)\):", re.MULTILINE)
_SAYS = re.compile(r"^    _supports_(?P<kernel>sdpa|flash_attn)\b(?:: bool)? = (?P<value>True|False)\b", re.MULTILINE)
_KERNELS: dict[str, AttentionKernel] = {"sdpa": "sdpa", "flash_attn": "flash_attention_2"}
_BASE = "PreTrainedModel"


@lru_cache(maxsize=64)
def attention_kernels(model_type: str) -> tuple[AttentionKernel, ...] | None:
    """What the class of a kind of model has in the installed transformers; None where that can't be told."""
    for folder in _folders():
        for name in (model_type.replace("-", "_"), model_type.removesuffix("_text").replace("-", "_")):
            file = Path(folder) / "models" / name / f"modeling_{name}.py"
            try:
                return kernels_in(file.read_text(encoding="utf-8"))
            except OSError:
                continue
    return None


@lru_cache(maxsize=64)
def is_known(model_type: str) -> bool | None:
    """Whether the installed transformers has models of this kind; None where that can't be told."""
    for folder in _folders():
        try:
            text = (Path(folder) / "models" / "auto" / "modeling_auto.py").read_text(encoding="utf-8")
        except OSError:
            continue
        return f'("{model_type}",' in text
    return None


def _folders() -> Iterable[str]:
    found = importlib.util.find_spec("transformers")
    return (found.submodule_search_locations or ()) if found else ()


def kernels_in(text: str) -> tuple[AttentionKernel, ...] | None:
    """What the text of a model's module says; None where its first class of all inherits from another kind's."""
    classes = list(_CLASS.finditer(text))
    first = next((number for number, one in enumerate(classes) if one["name"].endswith(_BASE)), None)
    if first is None or _BASE not in [base.strip() for base in classes[first]["bases"].split(",")]:
        return None
    end = classes[first + 1].start() if first + 1 < len(classes) else len(text)
    body = text[classes[first].end() : end]
    has = {_KERNELS[said["kernel"]] for said in _SAYS.finditer(body) if said["value"] == "True"}
    kernels: tuple[AttentionKernel, ...] = ("eager", "sdpa", "flash_attention_2")
    return tuple(kernel for kernel in kernels if kernel == "eager" or kernel in has)
