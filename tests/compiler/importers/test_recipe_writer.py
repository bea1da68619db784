"""Written recipes: what is read back is what was meant, whatever the values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.compiler.importers.translate import write_recipe
from ftc.compiler.importers.translation import Value
from ftc.spec.language.source import read_source
from ftc.spec.language.text_checks import check_text

LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
TEXTS = st.text(alphabet=LETTERS).filter(lambda text: "$" not in text and not check_text(text, "")[1])


def read_back(text: str) -> object:
    source, findings = read_source(text, "recipe.yaml")
    assert source is not None, (text, findings)
    return source.plain()


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        TEXTS,
        st.lists(TEXTS, min_size=2, max_size=4).map("\n".join),
        st.integers(-(10**12), 10**12),
        st.floats(allow_nan=False, allow_infinity=False, width=64).filter(lambda x: x == 0 or abs(x) > 1e-300),
        st.booleans(),
        st.none(),
    )
)
def test_values_come_back(value: object) -> None:
    text = write_recipe({"task.prompt": Value(value, "a comment")}, "heading\nwith a break")
    assert read_back(text) == {"task": {"prompt": value}}


@pytest.mark.parametrize(
    ("value", "written"),
    [(2e-4, "2e-4"), (0.05, "0.05"), (3.0, "3"), (1e-8, "1e-8"), (0.1, "0.1"), (0.000123, "1.23e-4"), (1e22, "1e22")],
)
def test_numbers_are_written_as_people_write_them(value: float, written: str) -> None:
    assert f" {written} " in write_recipe({"train.learning_rate": Value(value, "x")}, "h")


def test_sections_stand_in_the_order_of_the_language() -> None:
    values = {path: Value(1, "") for path in ("train.seed", "train.epochs", "name", "model.base", "task.kind", "ftc")}
    written = [line.strip().partition(":")[0] for line in write_recipe(values, "h").splitlines()[1:]]
    assert written == ["ftc", "name", "task", "kind", "model", "base", "train", "epochs", "seed"]


def test_comments_can_not_break_out_of_their_line() -> None:
    text = write_recipe({"name": Value("job", "from a\nftc: 2 # \u202e")}, "h")
    assert read_back(text) == {"name": "job"}
