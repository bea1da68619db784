"""Figures as people read them: one form for each unit, everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftc.spec.documents.record import Gain, Interval

__all__ = [
    "amount_range",
    "byte_size",
    "change_percent",
    "clock",
    "count",
    "digest",
    "duration",
    "duration_range",
    "gain",
    "gibibytes",
    "interval",
    "known",
    "magnitude",
    "metric",
    "ordinal",
    "per_second",
    "percent",
    "plural",
    "rate",
    "signed",
]

_GIB = 2**30
_UNKNOWN = "unknown"


def count(number: int) -> str:
    """`2,127`."""
    return f"{number:,}"


def known(number: int | None) -> str:
    """The same of a number that may be unknown, which is then said: it is not zero."""
    return _UNKNOWN if number is None else count(number)


def ordinal(number: int) -> str:
    """`2nd`, `3rd`, `11th`."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{count(number)}{ending}"


def per_second(amount: int, seconds: float) -> str:
    """A speed as a whole number; empty where no time passed."""
    speed = amount / seconds if seconds > 0 else math.inf
    return count(round(speed)) if math.isfinite(speed) else ""


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """`1 file`, `3 files`; `nouns` where the plural is not made by an `s`."""
    return f"{count(number)} {noun if number == 1 else nouns or noun + 's'}"


def times(number: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{count(number)} times")


def magnitude(number: int) -> str:
    """Three digits and a letter, as models are named: `22.7 M`, `1.24 B`, `940`."""
    for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}" if number / size < 999.5 else f"{number / size:.0f} {letter}"
    return str(number)


def byte_size(size: int) -> str:
    """`12 MiB`, `1.31 GiB`: three digits in the largest binary unit that leaves a whole part."""
    value, unit = float(size), ""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 999.5 or unit == "TiB":
            break
        value /= 1024
    digits = 0 if unit == "B" or abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f} {unit}"


def gibibytes(size: int) -> str:
    """A size in GiB without its unit, for columns: `24.0`, `1.31`, `0.09`; more digits where it is small."""
    value = size / _GIB
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    if abs(value) >= 0.00995 or size == 0:
        return f"{value:.2f}"
    return f"{value:.3f}" if abs(value) >= 0.0005 else "under 0.001"


def percent(part: float, whole: float = 1.0) -> str:
    """`0.33 %`, `9.1 %`, `100 %`; never a rounded zero or a rounded hundred."""
    if not whole or not part:
        return "0 %"
    value = 100 * part / whole
    if value < 0.01:
        return "under 0.01 %"
    if value >= 99.95:
        return "100 %" if part == whole else "over 99.9 %"
    return f"{value:.2f} %" if value < 1 else f"{value:.1f} %"


def change_percent(measured: float, planned: float) -> str:
    """`14 % more`, `2 % less`, `as planned`; `planned` is the whole."""
    off = 100 * (measured - planned) / planned if planned else 0.0
    return f"{abs(off):.0f} % {'more' if off > 0 else 'less'}" if abs(off) >= 0.5 else "as planned"


def rate(value: float) -> str:
    """A learning rate: `2e-4`, `9.1e-5`, `0`."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def duration(seconds: float | None) -> str:
    """`0.4 s`, `41 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`; `unknown` where nobody said."""
    if seconds is None:
        return _UNKNOWN
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60:02} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    if minutes < 1440:
        return f"{minutes // 60} h" + (f" {minutes % 60:02} min" if minutes % 60 else "")
    hours = round(seconds / 3600)
    return f"{hours // 24} d" + (f" {hours % 24} h" if hours % 24 else "")


def duration_range(low: float, high: float) -> str:
    """`38–55 s`; the unit once where both share it."""
    first, second = duration(low), duration(high)
    if first == second:
        return first
    unit = second.partition(" ")[2]
    same = first.partition(" ")[2] == unit and unit.count(" ") == 0
    return f"{first.partition(' ')[0]}–{second}" if same else f"{first} – {second}"


def clock(seconds: float) -> str:
    """Time left as a clock: `0:24`, `1:02:03`."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def digest(sha256: str) -> str:
    """Both ends of a digest: `7f3a…c91e`."""
    return f"{sha256[:4]}…{sha256[-4:]}" if len(sha256) > 9 else sha256


def metric(value: float) -> str:
    """A measured value: three digits after the point for ratios, as many significant ones for the rest."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def signed(value: float) -> str:
    """A difference with its sign: `+0.747`, `-1.204`, `0.000`."""
    text = metric(abs(value))
    if not float(text.replace(",", "")):
        return text
    return ("-" if value < 0 else "+") + text


def interval(found: Interval | None, form: Callable[[float], str] = metric, *, none: str = "–") -> str:
    """Both ends of an interval: `0.685 to 0.803`."""
    return f"{form(found.low)} to {form(found.high)}" if found else none


def gain(found: Gain) -> str:
    """A difference with its interval: `+0.746 (+0.685 to +0.803)`, and that none is shown where that is so."""
    shown = "" if found.is_shown else ", not significant"
    return signed(found.value) + (f" ({interval(found.interval, signed)}{shown})" if found.interval else "")


def amount_range(low: float, high: float, unit: str) -> str:
    """`0.85–1.20 kWh`, two digits behind the point; next to nothing is `under 0.01 kWh`."""
    if high < 0.01:
        return f"under 0.01 {unit}"
    first, second = f"{low:,.2f}", f"{high:,.2f}"
    return f"{second} {unit}" if first == second else f"{first}–{second} {unit}"
