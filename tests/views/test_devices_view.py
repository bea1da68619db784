"""The catalog as a table, and one device in full."""

from __future__ import annotations

from ftc.compiler.resolve.machine.device import resolve_device
from ftc.spec.devices import CARDS
from ftc.views.devices import device_text, devices_text
from tests.support.drafts import CPU


def test_the_table_has_a_line_for_each_and_marks_this_machine() -> None:
    devices = [CPU, *(resolve_device(name, cards=list) for name in CARDS)]
    text = devices_text(devices)
    assert all(f"\n{name} " in text for name in CARDS)
    assert "`budget.device: cpu`" in text
    assert max(map(len, text.splitlines())) <= 100


def test_one_device_tells_its_source() -> None:
    text = device_text(resolve_device("h200", cards=list))
    assert text.splitlines() == [
        "h200       NVIDIA H200 · from ftc's list",
        "",
        "Memory     140.4 GiB as the driver reports it · 4,800 GB/s",
        "TFLOP/s    float32 67.0 · tfloat32 494.0 · float16 989.0 · bfloat16 989.0 · float8 1,979.0 · dense",
        "CUDA       compute capability 9.0",
        "Power      700 W for the board",
        "Source     NVIDIA, H200 data sheet",
    ]
