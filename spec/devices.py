"""Cards that a plan can be made for without having one.

Figures are the vendor's own, from the document that stands beside each card: dense rates without sparsity, with sums in
float32, memory bandwidth, and power of the board at its default limit. What nobody is sure of is absent, and a plan
then leaves out what would rest on it. Memory is what the driver reports (`nvidia-smi`, MiB), which is less than the
round figure on the box; where drivers differ, the smallest. A plan for the machine at hand uses its driver's figure.

A CPU stands in no catalog: what it reaches depends on clocks, memory and threads. `ftc device calibrate` measures it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftc.spec.documents.device import Speed
from ftc.spec.precisions import FLOAT8, FLOAT8_SINCE, number_type

__all__ = [
    "ALIASES",
    "CARDS",
    "UNKNOWN_CAPABILITY",
    "Card",
    "card_named",
    "context_bytes",
    "kernels",
]

UNKNOWN_CAPABILITY = (8, 0)
"""What a card of unknown capability is taken for: kernels that newer ones have too, and one of the larger contexts."""
_GIB = 2**30
_MIB = 2**20
_TERA = 10**12
_GIGA = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One kind of card.

    Attributes:
        label: Name that the driver reports.
        memory_gib: Nominal memory, as it is sold.
        reported_mib: Memory that the driver reports.
        capability: CUDA's (major, minor).
        bandwidth: Memory bandwidth in GB/s.
        float32: Rate without tensor cores, in TFLOP/s.
        tfloat32: Rate of tensor cores on float32 rounded to 10 bits of mantissa, in TFLOP/s.
        half: Rate of tensor cores in 16 bits: float16, and bfloat16 where it has that, in TFLOP/s.
        float8: Rate of tensor cores in 8 bits, in TFLOP/s.
        watts: Power of the board.
        source: Document that the figures are from.
    """

    label: str
    memory_gib: int
    reported_mib: int
    capability: tuple[int, int]
    bandwidth: int | None
    float32: float | None = None
    tfloat32: float | None = None
    half: float | None = None
    float8: float | None = None
    watts: int | None
    source: str

    @property
    def memory_bytes(self) -> int:
        """Memory that the driver reports, in bytes."""
        return self.reported_mib * _MIB

    @property
    def nominal_bytes(self) -> int:
        """Memory as it is sold, in bytes."""
        return self.memory_gib * _GIB

    @property
    def speed(self) -> Speed:
        """Its figures in plain units."""
        rates = {"float32": self.float32, "tfloat32": self.tfloat32, "float16": self.half, FLOAT8: self.float8}
        if has_bfloat16(self.capability):
            rates["bfloat16"] = self.half
        return Speed(
            flops={name: round(rate * _TERA) for name, rate in rates.items() if rate is not None},
            bandwidth=None if self.bandwidth is None else self.bandwidth * _GIGA,
            watts=self.watts,
            source=self.source,
        )


def has_bfloat16(capability: tuple[int, int]) -> bool:
    """Whether a card of this compute capability has bfloat16 tensor cores."""
    return capability >= number_type("bfloat16").since


def kernels(capability: tuple[int, int]) -> dict[str, bool]:
    """Which kinds of kernels exist for a compute capability: bfloat16 tensor cores, flash attention 2, 8-bit floats."""
    return {
        "bfloat16": has_bfloat16(capability),
        "flash attention": capability >= (8, 0),
        FLOAT8: capability >= FLOAT8_SINCE,
    }


def context_bytes(capability: tuple[int, int]) -> tuple[int, int]:
    """What the driver holds of a card's memory for each process: a usual and a high figure.

    141 MiB were measured on a T4 with torch 2.10 to 2.14. Newer cards load more kernels: from 300 MiB to 600 MiB.
    """
    return (141 * _MIB, 300 * _MIB) if capability < (8, 0) else (500 * _MIB, 600 * _MIB)


def card_named(name: str) -> str | None:
    """The catalog's name for what people also call a card: `4090`, `RTX 4090`, `A100-SXM4-80GB`; None for none."""
    plain = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
    for prefix in ("nvidia-", "geforce-", "tesla-"):
        plain = plain.removeprefix(prefix)
    return plain if plain in CARDS else ALIASES.get(plain)


_AMPERE = "NVIDIA, Ampere GA102 GPU architecture whitepaper"
_ADA = "NVIDIA, Ada GPU architecture whitepaper"
_BLACKWELL = "NVIDIA, RTX Blackwell GPU architecture whitepaper"
_BLACKWELL_PRO = "NVIDIA, RTX Blackwell PRO GPU architecture whitepaper"
_TURING = "NVIDIA, Turing GPU architecture whitepaper"
_CORES = "NVIDIA, specifications of the GPU: cores and boost clock, at its architecture's rate per core"

CARDS: dict[str, Card] = {
    # GeForce: tensor cores run at half of their rate when sums are float32, as they are in training.
    "rtx-2080-ti": Card(
        label="NVIDIA GeForce RTX 2080 Ti", memory_gib=11, reported_mib=10_989, capability=(7, 5), bandwidth=616,
        float32=13.4, half=53.8, watts=250, source=_TURING,
    ),
    "rtx-3060-12gb": Card(
        label="NVIDIA GeForce RTX 3060", memory_gib=12, reported_mib=12_053, capability=(8, 6), bandwidth=360,
        float32=12.7, tfloat32=12.7, half=25.5, watts=170, source=_AMPERE,
    ),
    "rtx-3060-ti": Card(
        label="NVIDIA GeForce RTX 3060 Ti", memory_gib=8, reported_mib=7_982, capability=(8, 6), bandwidth=448,
        float32=16.2, tfloat32=16.2, half=32.4, watts=200, source=_CORES,
    ),
    "rtx-3070": Card(
        label="NVIDIA GeForce RTX 3070", memory_gib=8, reported_mib=7_982, capability=(8, 6), bandwidth=448,
        float32=20.3, tfloat32=20.3, half=40.6, watts=220, source=_AMPERE,
    ),
    "rtx-3080": Card(
        label="NVIDIA GeForce RTX 3080", memory_gib=10, reported_mib=10_018, capability=(8, 6), bandwidth=760,
        float32=29.8, tfloat32=29.8, half=59.5, watts=320, source=_AMPERE,
    ),
    "rtx-3080-ti": Card(
        label="NVIDIA GeForce RTX 3080 Ti", memory_gib=12, reported_mib=12_053, capability=(8, 6), bandwidth=912,
        float32=34.1, tfloat32=34.1, half=68.2, watts=350, source=_CORES,
    ),
    "rtx-3090": Card(
        label="NVIDIA GeForce RTX 3090", memory_gib=24, reported_mib=24_268, capability=(8, 6), bandwidth=936,
        float32=35.6, tfloat32=35.6, half=71, watts=350, source=_AMPERE,
    ),
    "rtx-3090-ti": Card(
        label="NVIDIA GeForce RTX 3090 Ti", memory_gib=24, reported_mib=24_564, capability=(8, 6), bandwidth=1008,
        float32=40.0, tfloat32=40.0, half=80.0, watts=450, source=_CORES,
    ),
    "rtx-4060": Card(
        label="NVIDIA GeForce RTX 4060", memory_gib=8, reported_mib=8_188, capability=(8, 9), bandwidth=272,
        float32=15.1, tfloat32=15.1, half=30.2, float8=60.5, watts=115, source=_CORES,
    ),
    "rtx-4060-ti-16gb": Card(
        label="NVIDIA GeForce RTX 4060 Ti", memory_gib=16, reported_mib=16_380, capability=(8, 9), bandwidth=288,
        float32=22.1, tfloat32=22.1, half=44.1, float8=88.2, watts=165, source=_ADA,
    ),
    "rtx-4070": Card(
        label="NVIDIA GeForce RTX 4070", memory_gib=12, reported_mib=12_282, capability=(8, 9), bandwidth=504,
        float32=29.1, tfloat32=29.1, half=58.3, float8=116.6, watts=200, source=_ADA,
    ),
    "rtx-4070-super": Card(
        label="NVIDIA GeForce RTX 4070 SUPER", memory_gib=12, reported_mib=12_282, capability=(8, 9), bandwidth=504,
        float32=35.5, tfloat32=35.5, half=71.0, float8=141.9, watts=220, source=_CORES,
    ),
    "rtx-4070-ti": Card(
        label="NVIDIA GeForce RTX 4070 Ti", memory_gib=12, reported_mib=12_282, capability=(8, 9), bandwidth=504,
        float32=40.1, tfloat32=40.1, half=80.2, float8=160.4, watts=285, source=_CORES,
    ),
    "rtx-4070-ti-super": Card(
        label="NVIDIA GeForce RTX 4070 Ti SUPER", memory_gib=16, reported_mib=16_376, capability=(8, 9), bandwidth=672,
        float32=44.1, tfloat32=44.1, half=88.2, float8=176.4, watts=285, source=_CORES,
    ),
    "rtx-4080": Card(
        label="NVIDIA GeForce RTX 4080", memory_gib=16, reported_mib=16_376, capability=(8, 9), bandwidth=716,
        float32=48.7, tfloat32=48.7, half=97.5, float8=194.9, watts=320, source=_ADA,
    ),
    "rtx-4080-super": Card(
        label="NVIDIA GeForce RTX 4080 SUPER", memory_gib=16, reported_mib=16_376, capability=(8, 9), bandwidth=736,
        float32=52.2, tfloat32=52.2, half=104.4, float8=208.9, watts=320, source=_CORES,
    ),
    "rtx-4090": Card(
        label="NVIDIA GeForce RTX 4090", memory_gib=24, reported_mib=24_564, capability=(8, 9), bandwidth=1008,
        float32=82.6, tfloat32=82.6, half=165.2, float8=330.3, watts=450, source=_ADA,
    ),
    "rtx-5060-ti-16gb": Card(
        label="NVIDIA GeForce RTX 5060 Ti", memory_gib=16, reported_mib=16_311, capability=(12, 0), bandwidth=448,
        float32=23.7, tfloat32=23.7, half=47.4, watts=180, source=_BLACKWELL,
    ),
    "rtx-5070": Card(
        label="NVIDIA GeForce RTX 5070", memory_gib=12, reported_mib=12_227, capability=(12, 0), bandwidth=672,
        float32=30.9, tfloat32=30.9, half=61.7, watts=250, source=_BLACKWELL,
    ),
    "rtx-5070-ti": Card(
        label="NVIDIA GeForce RTX 5070 Ti", memory_gib=16, reported_mib=16_303, capability=(12, 0), bandwidth=896,
        float32=43.9, tfloat32=43.9, half=87.9, watts=300, source=_BLACKWELL,
    ),
    "rtx-5080": Card(
        label="NVIDIA GeForce RTX 5080", memory_gib=16, reported_mib=16_303, capability=(12, 0), bandwidth=960,
        float32=56.3, tfloat32=56.3, half=112.6, watts=360, source=_BLACKWELL,
    ),
    "rtx-5090": Card(
        label="NVIDIA GeForce RTX 5090", memory_gib=32, reported_mib=32_607, capability=(12, 0), bandwidth=1792,
        float32=104.8, tfloat32=104.8, half=209.5, watts=575, source=_BLACKWELL,
    ),
    # Workstations.
    "rtx-a4000": Card(
        label="NVIDIA RTX A4000", memory_gib=16, reported_mib=16_117, capability=(8, 6), bandwidth=448,
        float32=19.2, tfloat32=38.3, half=76.7, watts=140, source="NVIDIA, RTX A4000 data sheet",
    ),
    "rtx-a5000": Card(
        label="NVIDIA RTX A5000", memory_gib=24, reported_mib=24_247, capability=(8, 6), bandwidth=768,
        float32=27.8, tfloat32=55.6, half=111.1, watts=230, source="NVIDIA, RTX A5000 data sheet",
    ),
    "rtx-a6000": Card(
        label="NVIDIA RTX A6000", memory_gib=48, reported_mib=48_685, capability=(8, 6), bandwidth=768,
        float32=38.7, tfloat32=77.4, half=154.8, watts=300, source=_AMPERE,
    ),
    "rtx-6000-ada": Card(
        label="NVIDIA RTX 6000 Ada Generation", memory_gib=48, reported_mib=49_140, capability=(8, 9), bandwidth=960,
        float32=91.1, tfloat32=182.1, half=364.2, float8=728.5, watts=300, source=_ADA,
    ),
    "rtx-pro-6000": Card(
        label="NVIDIA RTX PRO 6000 Blackwell", memory_gib=96, reported_mib=97_887, capability=(12, 0), bandwidth=1792,
        float32=126.0, tfloat32=251.9, half=503.8, float8=1007.6, watts=600, source=_BLACKWELL_PRO,
    ),
    # Data centers.
    "t4": Card(
        label="Tesla T4", memory_gib=16, reported_mib=14_912, capability=(7, 5), bandwidth=320,
        float32=8.1, half=65, watts=70, source="NVIDIA, T4 data sheet",
    ),
    "v100-16gb": Card(
        label="Tesla V100-SXM2-16GB", memory_gib=16, reported_mib=16_160, capability=(7, 0), bandwidth=900,
        float32=15.7, half=125, watts=300, source="NVIDIA, V100 data sheet",
    ),
    "v100-32gb": Card(
        label="Tesla V100-SXM2-32GB", memory_gib=32, reported_mib=32_510, capability=(7, 0), bandwidth=900,
        float32=15.7, half=125, watts=300, source="NVIDIA, V100 data sheet",
    ),
    "a10": Card(
        label="NVIDIA A10", memory_gib=24, reported_mib=22_731, capability=(8, 6), bandwidth=600,
        float32=31.2, tfloat32=62.5, half=125, watts=150, source="NVIDIA, A10 data sheet",
    ),
    "a10g": Card(
        label="NVIDIA A10G", memory_gib=24, reported_mib=22_731, capability=(8, 6), bandwidth=600,
        watts=None, source="AWS, EC2 G5 instances",
    ),
    "a30": Card(
        label="NVIDIA A30", memory_gib=24, reported_mib=24_258, capability=(8, 0), bandwidth=933,
        float32=10.3, tfloat32=82, half=165, watts=165, source="NVIDIA, A30 data sheet",
    ),
    "a40": Card(
        label="NVIDIA A40", memory_gib=48, reported_mib=45_634, capability=(8, 6), bandwidth=696,
        float32=37.4, tfloat32=74.8, half=149.7, watts=300, source="NVIDIA, A40 data sheet",
    ),
    "l4": Card(
        label="NVIDIA L4", memory_gib=24, reported_mib=23_034, capability=(8, 9), bandwidth=300,
        float32=30.3, tfloat32=60, half=121, float8=242, watts=72, source="NVIDIA, L4 data sheet",
    ),
    "l40s": Card(
        label="NVIDIA L40S", memory_gib=48, reported_mib=46_068, capability=(8, 9), bandwidth=864,
        float32=91.6, tfloat32=183, half=362, float8=733, watts=350, source="NVIDIA, L40S data sheet",
    ),
    "a100-40gb": Card(
        label="NVIDIA A100-SXM4-40GB", memory_gib=40, reported_mib=40_536, capability=(8, 0), bandwidth=1555,
        float32=19.5, tfloat32=156, half=312, watts=400, source="NVIDIA, A100 data sheet",
    ),
    "a100-40gb-pcie": Card(
        label="NVIDIA A100-PCIE-40GB", memory_gib=40, reported_mib=40_536, capability=(8, 0), bandwidth=1555,
        float32=19.5, tfloat32=156, half=312, watts=250, source="NVIDIA, A100 data sheet",
    ),
    "a100-80gb": Card(
        label="NVIDIA A100-SXM4-80GB", memory_gib=80, reported_mib=81_251, capability=(8, 0), bandwidth=2039,
        float32=19.5, tfloat32=156, half=312, watts=400, source="NVIDIA, A100 data sheet",
    ),
    "a100-80gb-pcie": Card(
        label="NVIDIA A100 80GB PCIe", memory_gib=80, reported_mib=81_251, capability=(8, 0), bandwidth=1935,
        float32=19.5, tfloat32=156, half=312, watts=300, source="NVIDIA, A100 data sheet",
    ),
    "h100-80gb": Card(
        label="NVIDIA H100 80GB HBM3", memory_gib=80, reported_mib=81_559, capability=(9, 0), bandwidth=3350,
        float32=67, tfloat32=494, half=989, float8=1979, watts=700, source="NVIDIA, H100 data sheet",
    ),
    "h100-pcie": Card(
        label="NVIDIA H100 PCIe", memory_gib=80, reported_mib=81_559, capability=(9, 0), bandwidth=2000,
        float32=51, tfloat32=378, half=756, float8=1513, watts=350, source="NVIDIA, H100 PCIe product brief",
    ),
    "h100-nvl": Card(
        label="NVIDIA H100 NVL", memory_gib=94, reported_mib=95_830, capability=(9, 0), bandwidth=3900,
        float32=60, tfloat32=417, half=835, float8=1670, watts=400, source="NVIDIA, H100 data sheet",
    ),
    "h200": Card(
        label="NVIDIA H200", memory_gib=141, reported_mib=143_771, capability=(9, 0), bandwidth=4800,
        float32=67, tfloat32=494, half=989, float8=1979, watts=700, source="NVIDIA, H200 data sheet",
    ),
    "h20": Card(
        label="NVIDIA H20", memory_gib=96, reported_mib=97_871, capability=(9, 0), bandwidth=4000,
        float32=44, tfloat32=74, half=148, float8=296, watts=None, source="NVIDIA, H20 data sheet",
    ),
    "gh200-96gb": Card(
        label="NVIDIA GH200 480GB", memory_gib=96, reported_mib=97_871, capability=(9, 0), bandwidth=4000,
        float32=67, tfloat32=494, half=989, float8=1979, watts=900, source="NVIDIA, GH200 data sheet",
    ),
    "b200": Card(
        label="NVIDIA B200", memory_gib=180, reported_mib=183_359, capability=(10, 0), bandwidth=8000,
        half=2250, float8=4500, watts=1000, source="NVIDIA, DGX B200 data sheet",
    ),
}  # fmt: skip
"""Cards by the name that `budget.device` uses."""

ALIASES: dict[str, str] = {
    "2080-ti": "rtx-2080-ti",
    "3060": "rtx-3060-12gb",
    "rtx-3060": "rtx-3060-12gb",
    "3070": "rtx-3070",
    "3080": "rtx-3080",
    "rtx-3080-10gb": "rtx-3080",
    "3090": "rtx-3090",
    "rtx-3090-24gb": "rtx-3090",
    "4070": "rtx-4070",
    "4080": "rtx-4080",
    "4090": "rtx-4090",
    "rtx-4090-24gb": "rtx-4090",
    "5070-ti": "rtx-5070-ti",
    "5080": "rtx-5080",
    "5090": "rtx-5090",
    "a6000": "rtx-a6000",
    "3060-ti": "rtx-3060-ti",
    "3080-ti": "rtx-3080-ti",
    "3090-ti": "rtx-3090-ti",
    "4060": "rtx-4060",
    "4070-super": "rtx-4070-super",
    "4070-ti": "rtx-4070-ti",
    "4070-ti-super": "rtx-4070-ti-super",
    "4080-super": "rtx-4080-super",
    "5070": "rtx-5070",
    "a4000": "rtx-a4000",
    "a5000": "rtx-a5000",
    "rtx-pro-6000-blackwell": "rtx-pro-6000",
    "rtx-pro-6000-96gb": "rtx-pro-6000",
    "gh200": "gh200-96gb",
    "6000-ada": "rtx-6000-ada",
    "rtx-6000-ada-generation": "rtx-6000-ada",
    "v100-sxm2-16gb": "v100-16gb",
    "v100-sxm2-32gb": "v100-32gb",
    "a100-sxm4-40gb": "a100-40gb",
    "a100-pcie-40gb": "a100-40gb-pcie",
    "a100-sxm4-80gb": "a100-80gb",
    "a100-pcie-80gb": "a100-80gb-pcie",
    "h100": "h100-80gb",
    "h100-sxm": "h100-80gb",
    "h100-sxm5": "h100-80gb",
    "h100-80gb-hbm3": "h100-80gb",
    "h200-sxm": "h200",
    "h200-141gb": "h200",
}
"""Other names of cards that can mean one only; `a100` or `v100` alone could be two, so they are left to the user."""
