"""What a model's class says about its kernels, read as text."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ftc.compiler.resolve.models.model_form import attention_kernels, kernels_in


def module(base: str, lines: Sequence[str]) -> str:
    before, after = (
        ("class Layer(Module):", "    _supports_sdpa = True"),
        ("class Other(XPreTrainedModel):", "    x = 1"),
    )
    return "\n".join([*before, f"class XPreTrainedModel({base}):", *(f"    {line}" for line in lines), *after])


@pytest.mark.parametrize(
    ("base", "lines", "kernels"),
    [
        ("PreTrainedModel", ["_supports_flash_attn = True", "_supports_sdpa = True"], {"sdpa", "flash_attention_2"}),
        ("PreTrainedModel", ["_supports_sdpa = False  # softcapping", "_supports_flash_attn = True"],
         {"flash_attention_2"}),
        ("PreTrainedModel", ["config: XConfig"], set()),
        ("YPreTrainedModel", ["_supports_sdpa = True"], None),
    ],
)  # fmt: skip
def test_two_assignments_tell(base: str, lines: list[str], kernels: set[str] | None) -> None:
    found = kernels_in(module(base, lines))
    assert (found and set(found)) == (kernels if kernels is None else kernels | {"eager"})


@pytest.mark.parametrize("kind", ["llama", "xlm-roberta", "deberta-v2", "gemma2", "gemma3_text", "t5"])
def test_the_installed_classes_say_the_same(kind: str) -> None:
    pytest.importorskip("transformers")
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    name = MODEL_MAPPING_NAMES[kind]
    model = getattr(transformers, name if isinstance(name, str) else name[0])
    has = {"sdpa": model._supports_sdpa, "flash_attention_2": model._supports_flash_attn}
    assert set(attention_kernels(kind) or ()) == {"eager", *(kernel for kernel, it in has.items() if it)}


def test_an_unknown_kind_of_model_is_unknown() -> None:
    assert attention_kernels("no-such-model") is None
