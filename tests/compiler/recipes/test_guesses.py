"""Columns of labels by what their cells hold."""

from __future__ import annotations

from ftc.compiler.recipes.guesses import label_candidates


def test_labels_between_separators_are_counted_each_as_often_as_it_occurs() -> None:
    rows = [{"label": f"a{n % 3};b{n % 4};a{n % 3}"} for n in range(240)]
    (found,) = label_candidates(rows, ["label"])
    assert (found.column, found.values) == ("label", 7)


def test_a_list_inside_a_cell_between_separators_is_a_label_like_any_other() -> None:
    rows = [{"label": ("a;b", "b;a", "a", "b", '[["a"], {"b": 1}]')[n % 5]} for n in range(200)]
    (found,) = label_candidates(rows, ["label"])
    assert found.values == 4
