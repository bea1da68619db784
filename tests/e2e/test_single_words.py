"""Single words of messages that once led a reader astray."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import Ftc, MakeProject

pytest.importorskip("torch")


def test_a_loss_by_its_name_leads_to_the_keys_that_set_it(project: MakeProject, ftc: Ftc) -> None:
    project()
    found = ftc("validate", "recipe.yaml", "--set", "train.loss=focal")
    assert found.code != 0
    words = " ".join(found.text.split())
    assert "`label_smoothing` and `focal_gamma` change" in words
    assert "the distance to a teacher is `distillation.loss`" in words


def test_the_stride_of_windows_follows_short_lengths_by_itself(project: MakeProject, ftc: Ftc) -> None:
    recipe = project("extraction", "full") / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(re.sub(r"max_length: \d+", "max_length: 24", text).replace(", stride: 8", ""), encoding="utf-8")
    planned = ftc("plan", "recipe.yaml", "--no-trace")
    assert planned.code == 0, planned.text
    assert "FTC253" not in planned.text


def test_two_answers_are_two_lengths_and_no_sum_is_compared(project: MakeProject, ftc: Ftc) -> None:
    project("preference")
    shown = ftc("tokens", "recipe.yaml")
    assert shown.code == 0, shown.text
    sums = re.findall(r"(\d+) tokens \((\d+) \+ (\d+)\)", shown.text)
    assert sums
    assert all(int(whole) == int(one) + int(two) for whole, one, two in sums)
    assert all(max(int(one), int(two)) <= 32 for _, one, two in sums), "each alone is held to the longest row"
