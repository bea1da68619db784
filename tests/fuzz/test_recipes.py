"""Whatever a recipe's bytes are, checking it ends soon, without a traceback, and accepts nothing that it misreads.

A mutant is known by its number, so a failure names all that it takes to see it again. The default run takes a sample;
`nox -s fuzz` runs ten thousand.
"""

from __future__ import annotations

import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.compiler.rules.check import Checked, check_recipe
from ftc.lsp.outline import outline
from ftc.spec.base import Document, Money, parse_bytes, parse_duration, parse_money
from ftc.spec.codes import CODES
from ftc.spec.language.json_schema import recipe_schema
from ftc.spec.language.section_tree import all_sections
from ftc.spec.rewards import RewardTerm
from ftc.spec.sections.model import Budget
from ftc.spec.sections.recipe import Recipe
from ftc.views.diagnostics import render_json
from tests.fuzz.mutations import corpus, mutant
from tests.support.recipes import plain_recipe

SAMPLE = 400
ALL = 10_000
CHUNK = 800
LONGEST_CHECK_SECONDS = 20
"""A check takes milliseconds; on any machine this much is a hang."""

RECIPES = corpus()
QUANTITIES: dict[tuple[type[Document], str], Callable[[str], Any]] = {
    (Budget, "vram"): parse_bytes,
    (Budget, "time"): parse_duration,
    (Budget, "price_per_hour"): parse_money,
    (Budget, "cost"): parse_money,
    (RewardTerm, "memory"): parse_bytes,
}
KEYS = sorted({name for _, section in all_sections() for name in section.model_fields})


@contextmanager
def bounded() -> Iterator[None]:
    """Stops what hangs."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError("the check hangs")

    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_CHECK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def checked(data: bytes) -> Checked:
    """A check that ends, with findings that can be shown; whatever it accepts is what was written."""
    with bounded():
        result = check_recipe(data, "recipe.yaml")
        render_json(result.diagnostics)
        outline(data.decode("utf-8", "replace"))
    assert (result.recipe is None) == any(finding.is_error for finding in result.diagnostics)
    lines = data.decode("utf-8", "replace").count("\n") + data.count(b"\r") + 2
    for finding in result.diagnostics:
        assert finding.code in CODES
        assert finding.span is None or 1 <= finding.span.line <= finding.span.end_line <= lines
    if result.recipe is not None:
        assert result.source is not None
        written = result.recipe.model_copy(update={"track": None})  # which no document holds
        assert Recipe.model_validate_json(result.recipe.to_text()) == written
        assert misread(result.source.plain(), result.recipe, "") == []
    return result


def misread(written: Any, read: Any, place: str) -> list[str]:
    """Places at which a typed recipe does not say what its text says, or that are no keys of the language."""
    match written, read:
        case dict(), Document():
            unknown = [f"{place}.{key} is no key" for key in written if key not in type(read).model_fields]
            known = (key for key in written if key in type(read).model_fields)
            return unknown + [fault for key in known for fault in _misread_field(written[key], read, key, place)]
        case dict(), dict():
            same = set(written) == set(read)
            return (
                [fault for key in written for fault in misread(written[key], read[key], f"{place}.{key}")]
                if same
                else [place]
            )
        case tuple(), tuple():
            pairs = zip(written, read, strict=False)
            faults = [fault for number, pair in enumerate(pairs) for fault in misread(*pair, f"{place}[{number}]")]
            return faults if len(written) == len(read) else [place]
        case int() | float() | bool(), str():
            return []  # a scalar without quotes in a place for text is its own text
        case bool(), _:
            return [] if written is read else [place]
        case int() | float(), int() | float() if not isinstance(read, bool):
            return [] if written == read and math.isfinite(written) else [place]
        case _:
            return [] if type(written) is type(read) and written == read else [place]


def _misread_field(written: Any, holder: Document, key: str, place: str) -> list[str]:
    read = getattr(holder, key)
    if (quantity := QUANTITIES.get((type(holder), key))) is not None and isinstance(written, str):
        expected = quantity(written)
        said = (read.amount, read.currency) if isinstance(read, Money) else read
        return [] if said == expected else [f"{place}.{key}"]
    return misread(written, read, f"{place}.{key}")


def test_the_corpus_is_accepted() -> None:
    assert len(RECIPES) >= 5
    for recipe in RECIPES:
        found = checked(recipe)
        assert found.recipe is not None, found.diagnostics


def test_the_oracle_sees_a_misread_recipe() -> None:
    rich = next(text for text in RECIPES if b"vram" in text and b"gates" in text and b"batch_size" in text)
    recipe, source = checked(rich).recipe, checked(rich).source
    assert recipe is not None
    assert source is not None
    plain: dict[str, Any] = source.plain()
    plain["train"]["batch_size"] += 1
    plain["budget"]["vram"] = "12GiB"
    plain["eval"]["gates"]["mcc"] = "> 0"
    plain["trian"] = {}
    assert misread(plain, recipe, "") == [".trian is no key", ".train.batch_size", ".eval.gates", ".budget.vram"]


@pytest.mark.sample(3)
@pytest.mark.parametrize("start", range(0, SAMPLE, SAMPLE // 4))
def test_a_sample_of_mutants(start: int) -> None:
    run(range(start, start + SAMPLE // 4))


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FTC_FUZZ"), reason="ten thousand mutants take half a minute: nox -s fuzz")
@pytest.mark.parametrize("start", range(SAMPLE, ALL, CHUNK))
def test_all_mutants(start: int) -> None:
    run(range(start, min(start + CHUNK, ALL)))


def run(numbers: range) -> None:
    """Checks mutants; a failure names the number and the bytes."""
    accepted = 0
    for number in numbers:
        data = mutant(number, RECIPES)
        try:
            accepted += checked(data).recipe is not None
        except Exception as error:
            raise AssertionError(f"mutant {number}: {data!r}") from error
    assert 0 < accepted < len(numbers), "mutants that are all valid, or none, test little"


@pytest.mark.slow
def test_the_schema_judges_mutants_as_the_language_does() -> None:
    """Two readings of the models: what ftc accepts is valid, and what is valid breaks at most a rule between fields."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema isn't installed")
    validator = jsonschema.Draft202012Validator(recipe_schema())
    judged = 0
    for number in range(SAMPLE):
        result = checked(mutant(number, RECIPES))
        if result.source is None:
            continue
        judged += 1
        plain = json.loads(json.dumps(result.source.plain()))
        faults = [fault for fault in validator.iter_errors(plain) if not _is_text_without_quotes(fault)]
        if result.recipe is not None:
            assert faults == [], f"mutant {number}"
        elif not faults and validator.is_valid(plain):
            codes = {finding.code for finding in result.diagnostics if finding.is_error}
            assert all(code.startswith("FTC2") for code in codes), f"mutant {number}: {codes}"
    assert judged > 100


def _is_text_without_quotes(fault: Any) -> bool:
    """`name: 2024` is text for ftc, which knows the field, and a number for a validator of plain values."""
    is_one = fault.validator == "type" and fault.validator_value == "string"
    return is_one or any(map(_is_text_without_quotes, fault.context))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    checked(data)


YAMLISH = st.text(st.sampled_from("abk01 .-_:#{}[],'\"|>&*!%@`?~\n\r\t\\\u2028🙂é"), max_size=200)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(YAMLISH)
def test_any_text_of_the_characters_that_matter(text: str) -> None:
    checked(text.encode())
    checked(b"ftc: 1\ntrain: " + text.encode())


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["auto", "24GiB", "lora"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), inner, max_size=4),
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.sampled_from(sorted(Recipe.model_fields)), VALUES, max_size=3))
def test_any_value_under_any_key(sections: dict[str, Any]) -> None:
    """JSON is YAML, and has a form for every value but the numbers that are none."""
    checked(json.dumps({**plain_recipe(), **sections}, ensure_ascii=False).encode("utf-8", "replace"))
