"""The catalogue of devices, and one of them in full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ftc.spec.documents.facts import DeviceFacts
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.page import PLAIN, Page, table

__all__ = ["device_text", "devices_text"]

_PRECISIONS = ("float32", "tfloat32", "float16", "bfloat16", "float8")


def devices_text(devices: Sequence[DeviceFacts], *, page: Page = PLAIN) -> str:
    """One line a device: this machine's first, then the catalogue."""
    here = [device for device in devices if device.local]
    rows = [tuple(map(page.faint, ("device", "memory", "bandwidth", "float32", "bfloat16", "power", "label")))]
    rows += [_row(device, page) for device in devices]
    lines = table(rows, right=(1, 2, 3, 4, 5))
    notes = (
        f"The first is this machine's: `budget.device: {here[0].name}`, or `auto`." if here else "",
        "Rates are dense, in TFLOP/s. `ftc devices NAME` tells more of one, with its source.",
    )
    return "\n".join([*lines, "", *(line for note in notes if note for line in page.wrap(note))]) + "\n"


def device_text(device: DeviceFacts, *, page: Page = PLAIN) -> str:
    """All that is known of one device."""
    return "\n".join(_lines(device, page)) + "\n"


def _row(device: DeviceFacts, page: Page) -> tuple[str, ...]:
    flops = device.speed.flops if device.speed else {}
    bandwidth, watts = (device.speed.bandwidth, device.speed.watts) if device.speed else (None, None)
    return (
        page.strong(device.name) if device.local else device.name,
        f"{numbers.gibibytes(device.memory_bytes)} GiB",
        f"{numbers.count(bandwidth // 10**9)} GB/s" if bandwidth else "-",
        _rate(flops.get("float32")),
        _rate(flops.get("bfloat16")),
        f"{watts} W" if watts else "-",
        escaped(device.label.removeprefix("NVIDIA ")),
    )


def _rate(flops: int | None) -> str:
    return f"{flops / 10**12:,.1f}" if flops else "-"


def _lines(device: DeviceFacts, page: Page) -> Iterable[str]:
    where = "of this machine" if device.local else "of the catalogue"
    yield from page.flow(page.strong(device.name), [escaped(device.label), where], indent=max(11, len(device.name) + 3))
    yield ""
    memory = [f"{numbers.gibibytes(device.memory_bytes)} GiB as {_reporter(device)} reports it"]
    if device.speed and device.speed.bandwidth:
        memory.append(f"{numbers.count(device.speed.bandwidth // 10**9)} GB/s")
    yield from page.flow("Memory", memory)
    flops = device.speed.flops if device.speed else {}
    rates = [f"{name} {_rate(flops[name])}" for name in _PRECISIONS if name in flops]
    if rates:
        yield from page.flow("TFLOP/s", [*rates, "dense"])
    if device.capability:
        yield from page.flow("CUDA", [f"compute capability {device.capability[0]}.{device.capability[1]}"])
    if device.speed and device.speed.watts:
        yield from page.flow("Power", [f"{device.speed.watts} W for the board"])
    if device.speed:
        yield from page.flow("Source", [escaped(device.speed.source)])
    elif device.kind == "cpu":
        yield from page.flow("Speed", ["no data sheet tells it; `ftc calibrate` and earlier runs do"])


def _reporter(device: DeviceFacts) -> str:
    return "the system" if device.kind == "cpu" else "the driver"
