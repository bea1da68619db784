"""What was measured of a device."""

from __future__ import annotations

from collections.abc import Iterable

from ftc.spec.documents.calibration import Calibration, MeasuredLook, MeasuredPass, MeasuredStep
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.page import PLAIN, Page

__all__ = ["calibration_text"]


def calibration_text(found: Calibration, *, page: Page = PLAIN) -> str:
    """The measurement on one screen."""
    return "\n".join(_lines(found, page)) + "\n"


def _lines(found: Calibration, page: Page) -> Iterable[str]:
    measured = found.measured
    where = [escaped(found.label), numbers.plural(found.threads, "thread"), f"torch {escaped(measured.torch)}"]
    yield from page.flow(page.strong(found.device), where)
    yield ""
    rates = [f"{name} {rate / 10**9:,.0f} GFLOP/s" for name, rate in measured.flops.items()]
    yield from page.flow("Products", rates)
    memory = [f"{measured.bandwidth / 10**9:,.1f} GB/s"]
    if measured.context_bytes is not None:
        memory.append(f"context {numbers.byte_size(measured.context_bytes)}")
    yield from page.flow("Memory", memory)
    yield from page.flow("Operation", [f"{measured.operation_seconds * 10**6:.1f} µs for the smallest"])
    yield from page.flow("Libraries", [f"loaded in {numbers.duration(measured.import_seconds)}"])
    yield from page.flow("Steps", map(_step, measured.steps))
    if measured.looks:
        yield from page.flow("Looks", map(_look, measured.looks))
    yield ""
    yield from page.wrap("Later plans for this device tell their time by it.")
    if found.is_busy:
        told = f"{found.busy:.1f} other processes ran on each core: measure again when the machine is idle"
        yield from page.wrap(f"The machine was busy: {told}.")


def _step(step: MeasuredStep) -> str:
    return _seconds(step, f"LoRA r={step.rank}" if step.rank else "full")


def _look(look: MeasuredLook) -> str:
    return _seconds(look, f"{look.new_tokens} tokens written" if look.new_tokens else "scored")


def _seconds(one: MeasuredPass, how: str) -> str:
    size = f"{one.config['num_hidden_layers']} x {one.config['hidden_size']}"
    words = f"{one.config['model_type']} {size}, {how}, {one.precision}"
    return f"{words}, {one.rows} rows of {one.length} tokens {one.seconds * 1000:,.0f} ms"
