"""A figure of the closed form for a model that it has no terms for is never given in silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftc.compiler.memory.memory import by_closed_form
from ftc.compiler.memory.uncounted import uncounted_parts
from ftc.spec.documents.facts import DeviceFacts, ModelFacts, TeacherFacts, TensorFacts
from ftc.spec.quantized_files import DEQUANTIZING_BYTES, QuantizedMethod
from tests.support.drafts import CARD, CPU, decided, draft_of, model_facts


def with_tensors(**shapes: tuple[int, ...]) -> ModelFacts:
    """Two layers with these tensors beside attention and a feed-forward part; `__` stands for a dot."""
    facts = model_facts()
    more = {
        f"model.layers.{layer}.{name.replace('__', '.')}": TensorFacts(dtype="F32", shape=shape)
        for name, shape in shapes.items()
        for layer in (0, 1)
    }
    return facts.model_copy(update={"tensors": {**facts.tensors, **more}})


@pytest.mark.parametrize(
    ("shapes", "parts"),
    [
        ({}, ()),
        ({"input_layernorm__weight": (64,), "self_attn__q_proj__bias": (64,)}, ()),
        ({"attn__bias": (1, 1, 512, 512)}, ()),  # GPT-2 stores its mask under this name
        ({"mixer__conv1d__weight": (64, 1, 4)}, ("`mixer.conv1d.weight`",)),
        ({"mixer__A_log": (64,), "mixer__D": (64,)}, ("`mixer.A_log`", "`mixer.D`")),
        ({f"mixer__{name}": (64,) for name in "abcd"}, ("`mixer.a`", "`mixer.b`", "`mixer.c`", "…")),
    ],
)
def test_what_is_no_matrix_and_no_norm_is_not_counted(
    shapes: dict[str, tuple[int, ...]], parts: tuple[str, ...]
) -> None:
    assert uncounted_parts(with_tensors(**shapes)) == parts


def test_a_layer_without_attention() -> None:
    facts = model_facts()
    kept = {name: one for name, one in facts.tensors.items() if ".1.self_attn" not in name}
    assert uncounted_parts(facts.model_copy(update={"tensors": kept})) == ("1 layer without attention",)


def test_a_plan_by_closed_form_says_so() -> None:
    draft = draft_of(facts=with_tensors(mixer__A_log=(64,)), device=CARD, task={"kind": "chat"})
    missed = decided(replace(draft, untraced="there is no torch")).not_checked
    assert "memory trace: there is no torch" in missed
    assert any("`mixer.A_log`: the analytical estimate covers attention" in one for one in missed)


def test_a_teacher_is_dequantized_in_the_memory_of_a_cpu() -> None:
    def passing(device: DeviceFacts, quantized: QuantizedMethod | None) -> int:
        draft = draft_of(device=device, train={"distillation": {"teacher": "large"}})
        taught = model_facts().model_copy(update={"quantized_files": quantized})
        facts = TeacherFacts(model=taught, labels=(), problem=None, other_tokens=None)
        draft = decided(replace(draft, teacher=facts))
        (load,) = (one for one in by_closed_form(draft.at(draft.candidate)).phases if one.phase == "load")
        return load.components.get("temporaries", 0)

    widest = max(inputs * outputs for inputs, outputs in model_facts().linear_modules.values())
    assert passing(CPU, "fp8") == DEQUANTIZING_BYTES * widest
    assert passing(CPU, None) == passing(CARD, "fp8") == 0
