"""The catalog of devices, one of them in full, and what a calibration measured on one."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.spec.documents.calibration import Calibration, MeasuredPass
from ftc.spec.documents.facts import DeviceFacts
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped, table

__all__ = ["calibration_text", "device_text", "devices_text"]

_PRECISIONS = ("float32", "tfloat32", "float16", "bfloat16", "float8")


def devices_text(devices: Sequence[DeviceFacts], *, page: Page = PLAIN) -> str:
    """One line a device: this machine's first, then the catalog."""
    here = [device for device in devices if device.local]
    rows = [tuple(map(page.faint, ("device", "memory", "bandwidth", "float32", "bfloat16", "power", "label")))]
    for device in devices:
        flops = device.speed.flops if device.speed else {}
        bandwidth, watts = (device.speed.bandwidth, device.speed.watts) if device.speed else (None, None)
        rows.append(
            (
                page.strong(device.name) if device.local else device.name,
                f"{numbers.gibibytes(device.memory_bytes)} GiB",
                f"{numbers.count(bandwidth // 10**9)} GB/s" if bandwidth else "-",
                _rate(flops.get("float32")),
                _rate(flops.get("bfloat16")),
                f"{watts} W" if watts else "-",
                escaped(device.label.removeprefix("NVIDIA ")),
            )
        )
    lines = table(rows, right=(1, 2, 3, 4, 5))
    notes = (
        f"The first is this machine's: `budget.device: {here[0].name}`, or `auto`." if here else "",
        "Rates are dense, in TFLOP/s. `ftc device show NAME` shows more about one GPU, with the source.",
    )
    return "\n".join([*lines, "", *(line for note in notes if note for line in page.wrap(note))]) + "\n"


def device_text(device: DeviceFacts, *, page: Page = PLAIN) -> str:
    """All that is known of one device."""
    lines: list[str] = []
    where = "of this machine" if device.local else "from ftc's list"
    lines += page.flow(page.strong(device.name), [escaped(device.label), where], indent=max(11, len(device.name) + 3))
    lines.append("")
    reporter = "the system" if device.kind == "cpu" else "the driver"
    memory = [f"{numbers.gibibytes(device.memory_bytes)} GiB as {reporter} reports it"]
    if device.speed and device.speed.bandwidth:
        memory.append(f"{numbers.count(device.speed.bandwidth // 10**9)} GB/s")
    lines += page.flow("Memory", memory)
    flops = device.speed.flops if device.speed else {}
    rates = [f"{name} {_rate(flops[name])}" for name in _PRECISIONS if name in flops]
    if rates:
        lines += page.flow("TFLOP/s", [*rates, "dense"])
    if device.capability:
        lines += page.flow("CUDA", [f"compute capability {device.capability[0]}.{device.capability[1]}"])
    if device.speed and device.speed.watts:
        lines += page.flow("Power", [f"{device.speed.watts} W for the board"])
    if device.speed:
        lines += page.flow("Source", [escaped(device.speed.source)])
    elif device.kind == "cpu":
        lines += page.flow("Speed", ["unknown: measure with `ftc device calibrate`, or from earlier runs"])
    return "\n".join(lines) + "\n"


def _rate(flops: int | None) -> str:
    return f"{flops / 10**12:,.1f}" if flops else "-"


def calibration_text(found: Calibration, *, page: Page = PLAIN) -> str:
    """The measurement on one screen."""
    lines: list[str] = []
    measured = found.measured
    where = [escaped(found.label), numbers.plural(found.threads, "thread"), f"torch {escaped(measured.torch)}"]
    lines += page.flow(page.strong(found.device), where)
    lines.append("")
    rates = [f"{name} {rate / 10**9:,.0f} GFLOP/s" for name, rate in measured.flops.items()]
    lines += page.flow("Products", rates)
    memory = [f"{measured.bandwidth / 10**9:,.1f} GB/s"]
    if measured.context_bytes is not None:
        memory.append(f"context {numbers.byte_size(measured.context_bytes)}")
    lines += page.flow("Memory", memory)
    lines += page.flow("Operation", [f"{measured.operation_seconds * 10**6:.1f} µs for the smallest"])
    lines += page.flow("Libraries", [f"loaded in {numbers.duration(measured.import_seconds)}"])
    lines += page.flow("Steps", [_seconds(one, f"LoRA r={one.rank}" if one.rank else "full") for one in measured.steps])
    written = [(one, f"{one.new_tokens} tokens generated" if one.new_tokens else "scored") for one in measured.looks]
    lines += page.listed("Evaluation", [_seconds(one, how) for one, how in written])
    lines.append("")
    lines += page.wrap("Later plans for this device use this benchmark to estimate time.")
    if found.is_busy:
        told = f"{found.busy:.1f} other processes ran on each core: calibrate again when the machine is idle"
        lines += page.wrap(f"The machine was busy: {told}.")
    return "\n".join(lines) + "\n"


def _seconds(one: MeasuredPass, how: str) -> str:
    size = f"{one.config['num_hidden_layers']} x {one.config['hidden_size']}"
    words = f"{one.config['model_type']} {size}, {how}, {one.precision}"
    return f"{words}, {one.rows} rows of {one.length} tokens {one.seconds * 1000:,.0f} ms"
