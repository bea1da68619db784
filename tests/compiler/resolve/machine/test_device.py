"""The device of a plan: this machine's, or one from ftc's list."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from ftc.compiler.resolve.machine import local as cpu
from ftc.compiler.resolve.machine.device import resolve_device
from ftc.compiler.resolve.machine.local import LocalCard, local_cards
from ftc.spec.accelerators import accelerator_named
from ftc.spec.devices import ALIASES, CARDS
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.device import DeviceByHand

H100 = LocalCard("NVIDIA H100 80GB HBM3", 85_520_809_984, (9, 0))
T4 = LocalCard("Tesla T4", 16_106_127_360, (7, 5))


def test_the_cpu() -> None:
    facts = resolve_device("cpu")
    assert (facts.name, facts.kind, facts.local, facts.count) == ("cpu", "cpu", True, 1)
    assert 0 < facts.memory_bytes <= psutil.virtual_memory().total
    assert 1 <= facts.threads <= (psutil.cpu_count() or 1)


def test_auto_without_a_card_is_the_cpu() -> None:
    assert resolve_device("auto", cards=list).name == "cpu"


def test_auto_takes_the_first_card_and_counts_its_kind() -> None:
    facts = resolve_device("auto", cards=lambda: [H100, H100, T4])
    assert (facts.name, facts.count, facts.local, facts.has_bfloat16) == ("h100-80gb", 2, True, True)
    assert facts.memory_bytes == H100.memory_bytes


def test_a_name_means_the_local_card_of_that_kind() -> None:
    facts = resolve_device("t4", cards=lambda: [H100, T4])
    assert (facts.local, facts.memory_bytes, facts.has_bfloat16) == (True, T4.memory_bytes, False)


@pytest.mark.parametrize("asked", ["4090", "RTX 4090", "NVIDIA GeForce RTX 4090", "rtx_4090", "rtx-4090-24gb"])
def test_other_names_of_a_card(asked: str) -> None:
    assert resolve_device(asked, cards=list).name == "rtx-4090"


@pytest.mark.parametrize("name", CARDS)
def test_a_card_of_the_catalog_is_found_by_its_own_label(name: str) -> None:
    card = CARDS[name]
    local = LocalCard(card.label, card.memory_bytes, card.capability)
    assert resolve_device("auto", cards=lambda: [local]).name == name
    assert card.memory_bytes <= 1.03 * card.nominal_bytes
    assert card.source


@pytest.mark.parametrize(
    ("asked", "label"),
    [
        *(("mi300x", "an AMD GPU"), ("RX 7900 XTX", "an AMD GPU"), ("rocm", "an AMD GPU")),
        *(("xpu", "an Intel GPU"), ("arc-b580", "an Intel GPU"), ("Gaudi 3", "an Intel Gaudi")),
        *(("mps", "an Apple GPU"), ("M3 Max", "an Apple GPU"), ("tpu-v5e", "a TPU"), ("v6e-8", "a TPU")),
    ],
)
def test_an_accelerator_that_ftc_does_not_train_on(asked: str, label: str) -> None:
    by_hand = DeviceByHand.model_validate({"name": asked.lower().replace(" ", "-"), "memory": "64GiB"})
    for one in (asked, by_hand):
        with pytest.raises(Refusal) as caught:
            resolve_device(one, cards=list)
        (found,) = caught.value.diagnostics
        assert found.code == "FTC600"
        assert found.summary.startswith(f"ftc doesn't train on {label}")
        assert found.help[0] == "use `cpu`, or an NVIDIA GPU"


@pytest.mark.parametrize("name", [*CARDS, *ALIASES, "auto", "cpu", "my-card", "rxt-4090", "v100"])
def test_no_card_is_taken_for_another_accelerator(name: str) -> None:
    assert accelerator_named(name) is None


def test_what_a_machine_shows_of_accelerators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROCm's driver lists CPUs too, which have no vector units; of a Mac the CPU says enough."""
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    for number, units in enumerate((0, 304)):
        (nodes / str(number)).mkdir(parents=True)
        (nodes / str(number) / "properties").write_text(f"cpu_cores_count 96\nsimd_count {units}\nmem_banks_count 1\n")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert [one.name for one in cpu.other_accelerators(tmp_path)] == ["rocm"]
    (nodes / "1/properties").unlink()
    assert cpu.other_accelerators(tmp_path) == []
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert [one.name for one in cpu.other_accelerators(tmp_path)] == ["mps"]


def test_a_card_by_hand() -> None:
    asked = DeviceByHand.model_validate(
        {
            "name": "my-card",
            "memory": "48GiB",
            "bandwidth": "768 GB/s",
            "throughput": {"float32": "38 TFLOP/s", "bfloat16": "154 TFLOP/s"},
            "capability": "8.6",
            "power": "300 W",
        }
    )
    facts = resolve_device(asked, cards=lambda: [H100])
    assert (facts.name, facts.kind, facts.local, facts.has_bfloat16) == ("my-card", "cuda", False, True)
    assert (facts.memory_bytes, facts.capability) == (48 * 2**30, (8, 6))
    assert facts.speed is not None
    assert (facts.speed.flops["bfloat16"], facts.speed.watts) == (154 * 10**12, 300)
    bare = resolve_device(DeviceByHand.model_validate({"name": "bare", "memory": "8GiB"}))
    assert (bare.has_bfloat16, bare.capability) == (False, None)


def test_a_name_that_several_cards_have() -> None:
    with pytest.raises(Refusal) as caught:
        resolve_device("a100", cards=list)
    assert "`a100-80gb-pcie`" in caught.value.diagnostics[0].help[0]


def test_a_name_without_such_a_card_means_the_catalog() -> None:
    facts = resolve_device("rtx-4090", cards=lambda: [H100])
    assert (facts.local, facts.memory_bytes, facts.count) == (False, 24_564 * 2**20, 1)


@pytest.mark.parametrize(
    ("card", "name"),
    [
        (LocalCard("NVIDIA A100 80GB PCIe", 85_000_000_000, (8, 0)), "a100-80gb-pcie"),
        (LocalCard("NVIDIA A100-SXM4-40GB", 42_400_000_000, (8, 0)), "a100-40gb"),
        (LocalCard("NVIDIA GeForce RTX 4090", 25_757_220_864, (8, 9)), "rtx-4090"),
        (LocalCard("NVIDIA GeForce RTX 4070 Ti", 12_878_610_432, (8, 9)), "rtx-4070-ti"),
        (LocalCard("NVIDIA GeForce RTX 4070 Ti SUPER", 17_170_956_288, (8, 9)), "rtx-4070-ti-super"),
        (LocalCard("NVIDIA RTX PRO 6000 Blackwell Server Edition", 102_641_958_912, (12, 0)), "rtx-pro-6000"),
        (LocalCard("NVIDIA GeForce RTX 4050", 6_438_256_640, (8, 9)), "nvidia-geforce-rtx-4050"),
        (LocalCard("NVIDIA GeForce RTX 3060", 8_000_000_000, (8, 6)), "nvidia-geforce-rtx-3060"),
    ],
)
def test_local_cards_find_their_name(card: LocalCard, name: str) -> None:
    assert resolve_device("auto", cards=lambda: [card]).name == name


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(Refusal) as caught:
        resolve_device("rtx-4900", cards=list)
    (found,) = caught.value.diagnostics
    assert (found.code, found.help, found.path) == ("FTC600", ("did you mean `rtx-4090`?",), "budget.device")


def test_hidden_cards_are_not_counted() -> None:
    assert local_cards(visible="") == []


def test_catalog_names_are_plain() -> None:
    assert all(name == name.lower() and card.memory_bytes > 0 for name, card in CARDS.items())


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A file system of a machine whose process is in the group `/a/b`."""
    files = {"proc/self/cgroup": "0::/a/b\n", "proc/cpuinfo": "model name\t: Fast CPU\nflags\t\t: fpu sse2\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "sys/fs/cgroup/a/b").mkdir(parents=True)
    return tmp_path


def test_the_tightest_memory_limit_of_all_groups_holds(machine: Path) -> None:
    (machine / "sys/fs/cgroup/a/b/memory.max").write_text("max\n")
    assert cpu.usable_memory_bytes(machine) == psutil.virtual_memory().total
    (machine / "sys/fs/cgroup/a/memory.max").write_text("1048576\n")
    assert cpu.usable_memory_bytes(machine) == 1_048_576


def test_a_quota_and_shared_cores_limit_threads(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_allowed_cpus", lambda: {0, 1, 2, 3, 4, 5})
    for number in range(6):
        file = machine / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text(f"{number % 3},{number % 3 + 3}\n")
    assert cpu.usable_threads(machine) == 3
    (machine / "sys/fs/cgroup/a/cpu.max").write_text("150000 100000\n")
    assert cpu.usable_threads(machine) == 2


@pytest.mark.parametrize(("flags", "expected"), [("fpu sse2 avx2", False), ("avx512_bf16 x", True), ("amx_bf16", True)])
def test_bfloat16_needs_its_instructions(machine: Path, flags: str, expected: bool) -> None:
    (machine / "proc/cpuinfo").write_text(f"model name : X\nflags : {flags}\n")
    assert cpu.cpu_has_bfloat16(machine) is expected
    assert cpu.cpu_label(machine) == "X"
