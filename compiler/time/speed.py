"""A device's speed as a roofline with ranges, and how long work takes by it.

Three sources, each better than the one before: the data sheet with the efficiencies that published runs reached; what
`ftc device calibrate` measured here; what earlier runs on this device took by the roofline's figure. Matrix products
and other kernels follow each other, so their times add up. A card works while the next kernels are launched, a CPU
doesn't.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.time.amounts import Attending, batch_amounts, decode_amounts, kernel_of, looks_back_alone
from ftc.compiler.time.network import network_of
from ftc.compiler.time.network_work import forward_work, step_work
from ftc.spec import canonical
from ftc.spec.architectures import architecture
from ftc.spec.documents.calibration import Calibration, MeasuredEvaluation, MeasuredPass, MeasuredStep, Measurement
from ftc.spec.documents.estimates import SecondsRange, SpeedSource, Work
from ftc.spec.documents.facts import DeviceFacts, ModelFacts, TokenizerFacts
from ftc.spec.links import host_link
from ftc.spec.precisions import Precision, precision_card
from ftc.spec.strategies.common import low_rank

__all__ = [
    "DeviceSpeed",
    "Kind",
    "by_calibration",
    "by_data_sheet",
    "calibrated_speed",
    "measured_work",
    "narrowed",
    "scale_only",
    "seconds_for",
    "shared",
    "work_of_evaluation",
]


@dataclass(frozen=True, slots=True)
class _Range:
    """A quantity at its fastest, as expected, and at its slowest."""

    fastest: float
    expected: float
    slowest: float


_PRODUCTS = _Range(0.8, 0.55, 0.33)
"""Shares of the dense rate that matrix products reach in training. Published: 33 to 39 % for Llama 3.1 8B on H100
(torchtitan, December 2024), 47 % for Qwen 7B with LoRA on an A100 (its README), 60 % for Llama 3.1 8B with LoRA on an
RTX 4090 (torchtune's README); large square products alone reach 70 to 90 %. All but the last contain everything else
that a step does."""
_TRANSFERS = _Range(0.92, 0.78, 0.6)
"""Shares of the memory bandwidth that elementwise kernels reach."""
_PAGES = _Range(0.7, 0.35, 0.15)
"""Shares of PCI Express that memory moved by the driver page by page reaches: NVIDIA's own example of a stream reached
a third of it by faults and two thirds at best (`Maximizing Unified Memory Performance in CUDA`, 2017)."""
_OLDEST = (7, 0)
_LAUNCH = _Range(4e-6, 9e-6, 20e-6)
"""Seconds from one kernel to the next where Python launches them one by one."""
_PIXEL = _Range(40e-9, 85e-9, 250e-9)
"""Seconds in which a CPU prepares a pixel that a tower reads: 60 to 150 ns on one core of an AMD EPYC, by processors of
four models (`python benchmarks/image_preparing.py`). Other CPUs take half or twice as long."""
_CALIBRATED = 0.1
"""How far beyond the steps that were measured others may lie."""


@dataclass(frozen=True, slots=True)
class DeviceSpeed:
    """What a device does in a second, in one precision.

    Attributes:
        flops: Operations of matrix products.
        bandwidth: Bytes.
        operation: Seconds for each kernel.
        host: Bytes between the device and host memory, moved by the driver.
        pixel: Seconds for each pixel of images that the CPU prepares.
        factor: What real steps take by this roofline, pixels left out.
        overlaps: Whether kernels are launched while others run.
        prepares_ahead: Whether images of the next batch are prepared meanwhile, as training does on a card.
        source: Where it is from.
        method: The same in words.
    """

    flops: _Range
    bandwidth: _Range
    operation: _Range
    host: _Range
    pixel: _Range
    factor: _Range
    overlaps: bool
    source: SpeedSource
    method: str
    prepares_ahead: bool = True


def by_data_sheet(device: DeviceFacts, precision: str) -> DeviceSpeed | None:
    """The speed of a card by its vendor's figures; None where they lack one that is needed."""
    sheet = device.speed
    rate = None if sheet is None else sheet.flops.get(precision_card(precision).products.name)
    if sheet is None or rate is None or sheet.bandwidth is None:
        return None
    return DeviceSpeed(
        flops=_scaled(_PRODUCTS, rate),
        bandwidth=_scaled(_TRANSFERS, sheet.bandwidth),
        operation=_LAUNCH,
        host=_host(device),
        pixel=_PIXEL,
        factor=_Range(1, 1, 1),
        overlaps=device.kind == "cuda",
        source="data sheet",
        method="data sheet, at 33 to 80 % of its rates",
    )


def by_calibration(
    found: Calibration, precision: str, steps: Sequence[tuple[Work, float]], device: DeviceFacts
) -> DeviceSpeed | None:
    """The speed of a device as measured; None where this precision was not.

    Args:
        found: What was measured.
        precision: Of the job.
        steps: Work and seconds of the steps that were measured in this precision.
        device: That it was measured of.
    """
    measured = found.measured
    rate = measured.flops.get(precision_card(precision).products.name)
    if rate is None:
        return None
    speed = DeviceSpeed(
        flops=_Range(rate, rate, rate),
        bandwidth=_Range(measured.bandwidth, measured.bandwidth, measured.bandwidth),
        operation=_Range(measured.operation_seconds, measured.operation_seconds, measured.operation_seconds),
        host=_host(device),
        pixel=_PIXEL,
        factor=_Range(0.7, 1.0, 1.5),
        overlaps=device.kind == "cuda",
        source="calibration",
        method=f"calibration of {found.measured_at[:10]}" + (", on a busy machine" if found.is_busy else ""),
    )
    ratios = [seconds / seconds_for(work, replace(speed, factor=_Range(1, 1, 1))).expected for work, seconds in steps]
    factor = _spread(ratios, _CALIBRATED) if ratios else speed.factor
    if found.is_busy:  # with the others gone, all of the machine is there
        factor = replace(factor, fastest=factor.fastest / (1 + found.busy))
    return replace(speed, factor=factor)


def narrowed(
    speed: DeviceSpeed, ratios: Sequence[float], spread: float, method: str, *, of_other_models: bool = False
) -> DeviceSpeed:
    """The same roofline, with the factor that earlier runs show.

    Args:
        speed: By data sheet or calibration.
        ratios: What earlier runs took by the figure that this roofline expects.
        spread: How far beyond them the next one may lie.
        method: What it then rests on.
        of_other_models: Whether these runs had other images or none, and say nothing of how long images take.
    """
    found = _spread(ratios, spread)
    middle = replace(
        speed,
        flops=_fixed(speed.flops),
        bandwidth=_fixed(speed.bandwidth),
        operation=_fixed(speed.operation),
        host=_fixed(speed.host),
        pixel=speed.pixel if of_other_models else _scaled(found, speed.pixel.expected),
    )
    factor = _scaled(found, speed.factor.expected)
    return replace(middle, factor=factor, source="earlier runs", method=method)


def shared(speed: DeviceSpeed, part: float) -> DeviceSpeed:
    """The same where a process has a part of a CPU's cores, and as much of its memory's bandwidth."""
    flops, bandwidth = (_scaled(one, part) for one in (speed.flops, speed.bandwidth))
    return replace(speed, flops=flops, bandwidth=bandwidth)


def seconds_for(work: Work, speed: DeviceSpeed) -> SecondsRange:
    """How long the work takes."""

    def at(name: str) -> float:
        flops, bandwidth, host = (getattr(one, name) for one in (speed.flops, speed.bandwidth, speed.host))
        operation, pixel, factor = (getattr(one, name) for one in (speed.operation, speed.pixel, speed.factor))
        computing = work.flops / flops + work.bytes / bandwidth
        launching, preparing = factor * work.operations * operation, work.pixels * pixel
        beside = launching + preparing * speed.prepares_ahead
        working = max(factor * computing, beside) if speed.overlaps else factor * computing + beside
        return float(working + preparing * (not speed.prepares_ahead) + factor * work.host_bytes / host)

    return SecondsRange(low=at("fastest"), expected=at("expected"), high=at("slowest"))


def _host(device: DeviceFacts) -> _Range:
    return _scaled(_PAGES, host_link(device.capability or _OLDEST))


def _scaled(shares: _Range, rate: float) -> _Range:
    return _Range(shares.fastest * rate, shares.expected * rate, shares.slowest * rate)


def _fixed(one: _Range) -> _Range:
    return _Range(one.expected, one.expected, one.expected)


def _spread(ratios: Sequence[float], beyond: float) -> _Range:
    mean = math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
    return _Range(min(ratios) / (1 + beyond), mean, max(ratios) * (1 + beyond))


def scale_only() -> DeviceSpeed:
    """A roofline that knows nothing but proportions, for devices that only earlier runs tell of.

    One byte counts as ten operations, and a kernel as a hundred thousand of them, which is about what CPUs do; a
    byte of another memory counts as ten.
    """
    one = _Range(1.0, 1.0, 1.0)
    return DeviceSpeed(
        flops=_Range(1e11, 1e11, 1e11),
        bandwidth=_Range(1e10, 1e10, 1e10),
        operation=_Range(1e-6, 1e-6, 1e-6),
        host=_Range(1e9, 1e9, 1e9),
        pixel=_fixed(_PIXEL),
        factor=one,
        overlaps=False,
        source="earlier runs",
        method="",
    )


Kind = Literal["train", "read", "write"]
"""What goes through a model: a training step, rows that are scored, or answers that are written."""


def calibrated_speed(draft: ClosedDraft, kind: Kind, precision: Precision) -> DeviceSpeed | None:
    """The speed of the draft's device in a precision at a kind of passes; None where nobody measured it.

    Where no such passes were measured, training steps stand for them.
    """
    found = draft.calibration
    if found is None:
        return None
    device, measured = draft.device, found.measured
    steps = [(measured_work(step, device), step.seconds) for step in measured.steps if step.precision == precision]
    looks = list(_looks(measured, precision, kind, device))
    speed = by_calibration(found, precision, looks or steps, device)
    return None if speed is None else shared(speed, _part(draft, found))


def _looks(found: Measurement, precision: str, kind: Kind, device: DeviceFacts) -> Iterator[tuple[Work, float]]:
    """Work and seconds of the looks of a kind; of answers what comes behind their prompts, which are rows to read."""
    read: dict[str, float] = {}
    for look in found.looks:
        config = canonical.digest(look.config)
        if look.precision != precision or kind == "train":
            continue
        if not look.new_tokens:
            read[config] = look.seconds
            if kind == "read":
                yield work_of_evaluation(look, device), look.seconds
        elif kind == "write" and look.seconds > read.get(config, look.seconds):
            yield work_of_evaluation(look, device), look.seconds - read[config]


def _part(draft: ClosedDraft, found: Calibration) -> float:
    """Part of the cores that were measured which each process has, where several share a CPU."""
    processes = draft.devices_of_a_machine
    if processes == 1 or draft.device.kind != "cpu":
        return 1.0
    threads = min(float(draft.threads), draft.device.threads / processes)
    return min(1.0, threads / found.threads)


def measured_work(step: MeasuredStep, device: DeviceFacts) -> Work:
    """What a measured step had to do on the device that it was measured of."""
    facts = _facts(step)
    kernel = kernel_of(facts, device, "sdpa", step.precision, training=True)
    attending = Attending(kernel, causal=looks_back_alone(facts))
    amounts = batch_amounts(step.rows, step.length, scored=step.scored, attending=attending)
    network = network_of(
        facts,
        beside={name: low_rank(step.rank, *facts.linear_modules[name]) for name in step.adapted},
        trained=() if step.rank else tuple(step.linear_modules),
        flows_from_start=not step.rank,
        trainable=step.trainable,
        new_outputs=step.labels,
        attention=kernel,
    )
    return step_work(network, amounts, 1, _element_bytes(step), checkpointing=False)


def work_of_evaluation(look: MeasuredEvaluation, device: DeviceFacts) -> Work:
    """What a measured look had to do on the device that it was measured of; of answers without their prompts."""
    facts = _facts(look)
    kernel = kernel_of(facts, device, "sdpa", look.precision, training=False)
    attending = Attending(kernel, causal=looks_back_alone(facts))
    amounts = batch_amounts(look.rows, look.length, scored=look.scored, attending=attending)
    if look.new_tokens:
        amounts = decode_amounts(look.rows, look.length, look.new_tokens, window=attending.window)
    network = network_of(
        facts,
        beside={},
        trained=(),
        flows_from_start=False,
        trainable=0,
        new_outputs=look.labels,
        attention=kernel,
    )
    # Heads with labels are those of whole rows here, of which the run computes no more than a head reads.
    return forward_work(network, amounts, _element_bytes(look), one_place=bool(look.labels))


def _element_bytes(one: MeasuredPass) -> int:
    return precision_card(one.precision).products.size


def _facts(step: MeasuredPass) -> ModelFacts:
    config = step.config
    heads = config["num_attention_heads"]
    return ModelFacts(
        name="calibration",
        source="local",
        commit=None,
        files={},
        architecture="",
        config=config,
        model_type=config["model_type"],
        family=architecture(config["model_type"]).family or "decoder",
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=config.get("num_key_value_heads", heads),
        head_dim=config["hidden_size"] // heads,
        vocab_size=config["vocab_size"],
        max_positions=None,
        tied_embeddings=True,
        tensors={},
        linear_modules=step.linear_modules,
        license=None,
        tokenizer=_NO_TOKENIZER,
    )


_NO_TOKENIZER = TokenizerFacts(
    vocab_size=0,
    bos_token=None,
    eos_token=None,
    pad_token=None,
    bos_id=None,
    eos_id=None,
    pad_id=None,
    model_max_length=None,
    chat_template=None,
)
