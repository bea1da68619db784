"""Figures as people read them."""

from __future__ import annotations

import pytest

from ftc.views import numbers


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (900, "900 B"),
        (1023, "1.00 KiB"),
        (1_258_900, "1.20 MiB"),
        (24 * 2**30, "24.0 GiB"),
        (2**57, "131072 TiB"),
    ],
)
def test_bytes_have_three_digits(size: int, text: str) -> None:
    assert numbers.byte_size(size) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0.00"), (100, "under 0.001"), (2_966_036, "0.003"), (90_852_864, "0.08"), (24 * 2**30, "24.0")],
)
def test_gibibytes_never_round_something_to_nothing(size: int, text: str) -> None:
    assert numbers.gibibytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (1.31, "1.3 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (200, "3 min 20 s")]
    + [(7500, "2 h 05 min"), (7200, "2 h"), (3599.6, "1 h"), (360_000, "4 d 4 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(38, 55, "38–55 s"), (41, 41.2, "41 s"), (50, 80, "50 s – 1 min 20 s"), (3600, 7200, "1–2 h")],
)
def test_ranges_name_a_shared_unit_once(low: float, high: float, text: str) -> None:
    assert numbers.duration_range(low, high) == text


@pytest.mark.parametrize(
    ("value", "text"), [(2e-4, "2e-4"), (9.1e-5, "9.1e-5"), (0.0, "0"), (1e-3, "1e-3"), (0.5, "5e-1")]
)
def test_learning_rates(value: float, text: str) -> None:
    assert numbers.rate(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 7, "0 %"), (3, 0, "0 %"), (1, 300, "0.33 %"), (154, 1701, "9.1 %"), (7, 7, "100 %")]
    + [(9999, 10_000, "over 99.9 %"), (1, 10**6, "under 0.01 %")],
)
def test_percent_never_claims_none_or_all_by_rounding(part: int, whole: int, text: str) -> None:
    assert numbers.percent(part, whole) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.7466, "+0.747"), (-1.2, "-1.200"), (0.0, "0.000"), (-0.0001, "0.000"), (-1234.5, "-1,234.5")]
)
def test_signed(value: float, text: str) -> None:
    assert numbers.signed(value) == text


@pytest.mark.parametrize(
    ("number", "text"), [(940, "940"), (22_713_216, "22.7 M"), (1_240_000_000, "1.24 B"), (999_600, "1000 k")]
)
def test_magnitudes(number: int, text: str) -> None:
    assert numbers.magnitude(number) == text


def test_counts_plurals_digests_clocks_and_money() -> None:
    assert numbers.plural(1, "file") == "1 file"
    assert numbers.plural(2127, "row") == "2,127 rows"
    assert numbers.plural(2, "entry", "entries") == "2 entries"
    assert numbers.digest("7f3a" + "0" * 56 + "c91e") == "7f3a…c91e"
    assert numbers.digest("short") == "short"
    assert (numbers.clock(24.4), numbers.clock(3723), numbers.clock(-1)) == ("0:24", "1:02:03", "0:00")
    assert numbers.amount_range(0.004, 0.006, "USD") == "under 0.01 USD"
    assert numbers.amount_range(0.851, 1.2, "EUR") == "0.85–1.20 EUR"
    assert numbers.amount_range(2.0, 2.0, "USD") == "2.00 USD"
