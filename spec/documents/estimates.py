"""Peak memory, time, cost and energy of a run before it is launched: ranges with what they rest on."""

from __future__ import annotations

from typing import ClassVar, Literal

from ftc.spec.base import Document, MoneyText, Real, SparseDocument

__all__ = [
    "NCCL_BUFFERS",
    "ByteRange",
    "DeviceTraffic",
    "MemoryEstimate",
    "Phase",
    "PhasePeak",
    "PhaseTime",
    "SecondsRange",
    "SpeedSource",
    "TimeEstimate",
    "Verdict",
    "Work",
    "WorkEstimate",
    "part_words",
]

NCCL_BUFFERS = "NCCL buffers"
"""The component of memory that `MemoryEstimate.exchange_buffers` is the range of."""
Verdict = Literal["fits", "tight", "does not fit"]


_METHOD_WORDS = {"closed form": "analytical estimate", "trace": "memory trace"}
_PART_WORDS = {"optimiser state": "optimizer state", "quantisation state": "quantization state"}
_PASSES = {
    "forward": "the forward pass",
    "backward": "the backward pass",
    "optimiser step": "the optimizer step",
    "load": "loading",
    "save": "saving",
    "resume": "resuming",
    "grade": "grading",
}
"""Groups of phases whose names are no words of a sentence."""


def part_words(part: str) -> str:
    """What memory holds, as users read it; plans keep names of their own."""
    return _PART_WORDS.get(part, part)


class ByteRange(Document):
    """A size that isn't known exactly."""

    low: int
    expected: int
    high: int


class PhasePeak(Document):
    """The most that is allocated in one phase."""

    phase: str
    """Name of the phase, such as `backward: layers`; what stands before the colon groups them."""
    peak_bytes: int
    components: dict[str, int]
    """Bytes by what they hold; they sum to `peak_bytes`."""


class MemoryEstimate(SparseDocument):
    """Peak memory of the run, before it is launched."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("exchange_buffers",)

    method: Literal["closed form", "trace"]
    """How it was computed: `trace`, the run's own step on tensors without memory; `closed form`, from shapes alone."""
    phases: tuple[PhasePeak, ...]
    """Peaks of tensors by phase, in the order in which the phases happen."""
    peak_phase: str
    """The phase that decides."""
    allocated_bytes: int
    """Tensors at the largest peak: what torch reports as its largest allocation."""
    reserved: ByteRange
    """What torch's allocator takes from the device for them; on a CPU the tensors themselves."""
    process: ByteRange
    """What the process takes in all: reserved memory and the context beside it."""
    context_source: str = ""
    """Where the size of the context was measured, in words; empty where a usual one stands in."""
    exchange_buffers: ByteRange | None = None
    """What NCCL takes on each of several GPUs, as part of `process`; absent from the plan of one GPU or a CPU."""
    ways: int = 1
    """Ways to run the job that the recipe leaves open, among which this one was chosen."""
    traces: int = 0
    """How many of them were traced, now or for an earlier plan."""
    components: dict[str, int]
    """Bytes of the expected process at its peak, by what they hold; they sum to `peak_bytes`."""
    limit_bytes: int
    """What the budget or the device allows."""
    limit_source: str
    """Where the limit comes from, in words."""
    verdict: Verdict
    """`fits`: even the high figure is within the limit. `tight`: the expected one is, the high one is not. `does not
    fit`: not even the expected one is."""

    @property
    def method_words(self) -> str:
        """How the peak was computed, as users read it."""
        return _METHOD_WORDS[self.method]

    @property
    def peak_words(self) -> str:
        """When the peak is reached, to follow `during`: `the forward pass`."""
        group = self.peak_phase.partition(":")[0]
        return _PASSES.get(group, group)

    @property
    def peak_bytes(self) -> int:
        """What the process is expected to take at its peak."""
        return self.process.expected


Phase = Literal[
    "load", "prove", "reference", "train", "sample", "validate", "save", "evaluate", "generate", "judge", "grade"
]
"""Parts of a run whose time is measured and estimated. `sample` writes the answers that `train` trains on. `evaluate`
scores the test rows and what is measured beside them, and writes answers in `generate`; a language model grades them in
`judge`, a classifier looks in `grade`."""
SpeedSource = Literal["data sheet", "calibration", "earlier runs"]


class SecondsRange(Document):
    """A duration that isn't known exactly."""

    low: Real
    expected: Real
    high: Real

    def plus(self, other: SecondsRange) -> SecondsRange:
        """One after the other."""
        return SecondsRange(
            low=self.low + other.low, expected=self.expected + other.expected, high=self.high + other.high
        )


class Work(SparseDocument):
    """What a device has to do."""

    ABSENT_AT_DEFAULT = ("pixels",)

    flops: Real
    """Multiplications and additions of matrix products."""
    bytes: Real
    """Bytes between memory and cores."""
    operations: Real
    """Kernels that are launched."""
    host_bytes: Real = 0.0
    """Bytes between the device and host memory."""
    pixels: Real = 0.0
    """Pixels of images that the CPU prepares for the model; a decoded one counts as a part of one that is read."""

    def scaled(self, factor: float) -> Work:
        """So many times as much."""
        return Work(
            flops=self.flops * factor,
            bytes=self.bytes * factor,
            operations=self.operations * factor,
            host_bytes=self.host_bytes * factor,
            pixels=self.pixels * factor,
        )

    def less(self, other: Work) -> Work:
        """What is left of it beside a part."""
        return self.plus(other.scaled(-1.0))

    def plus(self, other: Work) -> Work:
        """One after the other."""
        return Work(
            flops=self.flops + other.flops,
            bytes=self.bytes + other.bytes,
            operations=self.operations + other.operations,
            host_bytes=self.host_bytes + other.host_bytes,
            pixels=self.pixels + other.pixels,
        )


class PhaseTime(Document):
    """The time of one part of the run."""

    phase: Phase
    seconds: SecondsRange
    method: str = ""
    """What the figure rests on, in words; it can differ between phases."""


class DeviceTraffic(Document):
    """What several devices send to each other in an optimizer step: parameters, gradients and states.

    In a ring each device sends to the next one, and the last of a machine to the first of another.
    """

    device_bytes: int
    """What a device sends to the others of its machine."""
    machine_bytes: int
    """What a machine sends to the others over their network; 0 of one machine."""


class WorkEstimate(SparseDocument):
    """What the device has to do in the whole run, whatever its speed."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("traffic",)

    phases: dict[Phase, Work]
    """By phase, as expected."""
    train_tokens: int
    """Tokens of rows that training feeds to the model, padding included and virtual tokens not."""
    traffic: DeviceTraffic | None = None
    """Absent where one device trains."""


class TimeEstimate(Document):
    """Seconds that the run takes, and what follows from them."""

    source: SpeedSource
    """Where the device's speed is from."""
    method: str
    """What the figure rests on, in words, such as `2 earlier runs on this device`."""
    phases: tuple[PhaseTime, ...]
    """In the order in which they begin."""
    low_seconds: Real
    expected_seconds: Real
    high_seconds: Real
    cost_low: MoneyText | None = None
    cost_high: MoneyText | None = None
    energy_low_joules: Real | None = None
    """At the least: a device that works draws at least this share of its limit."""
    energy_high_joules: Real | None = None
    """At the most: its limit all the time; None where its power is unknown."""
