"""Which attention kernel is taken, and what stands in for it keeps."""

from __future__ import annotations

import pytest
import torch

from ftc.runtime.memory_trace.kernels import KernelRules, choose

AMPERE, TURING, OLD_TORCH = KernelRules((8, 0)), KernelRules((7, 5)), KernelRules((8, 9), True, False)


@pytest.mark.parametrize(
    ("rules", "dtype", "has_mask", "groups", "head_dim", "kernel"),
    [
        (AMPERE, torch.bfloat16, False, 4, 128, "flash"),
        (AMPERE, torch.bfloat16, True, 1, 128, "efficient"),
        (AMPERE, torch.float32, False, 1, 128, "efficient"),
        (AMPERE, torch.float32, False, 4, 128, "efficient"),
        (AMPERE, torch.bfloat16, False, 1, 512, "efficient"),
        (OLD_TORCH, torch.float32, False, 4, 128, "math"),
        (KernelRules((8, 9), has_flash=False), torch.float16, False, 1, 64, "efficient"),
        (TURING, torch.float16, False, 1, 64, "efficient"),
        (TURING, torch.bfloat16, False, 1, 64, "math"),
        (KernelRules(None), torch.float32, True, 1, 64, "flash"),
    ],
)
def test_the_table(
    rules: KernelRules, dtype: torch.dtype, has_mask: bool, groups: int, head_dim: int, kernel: str
) -> None:
    assert choose(rules, dtype, has_mask=has_mask, groups=groups, head_dim=head_dim) == kernel


def test_heads_of_values_that_are_narrower_are_not_for_flash_attention() -> None:
    kernels = [
        choose(AMPERE, torch.bfloat16, has_mask=False, groups=1, head_dim=96, value_dim=size) for size in (96, 64)
    ]
    assert kernels == ["flash", "efficient"]


def test_a_processor_drops_scores_only_by_the_plain_formula() -> None:
    rules = KernelRules(None)
    assert choose(rules, torch.float32, has_mask=False, groups=1, head_dim=64, dropout=0.1) == "math"


def test_a_processor_learns_a_mask_only_by_the_plain_formula() -> None:
    kernels = [
        choose(rules, torch.float32, has_mask=True, groups=1, head_dim=64, learns_mask=True)
        for rules in (KernelRules(None), AMPERE)
    ]
    assert kernels == ["math", "efficient"]
