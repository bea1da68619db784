"""The speed of a device as `ftc calibrate` measured it: its roofline, held against what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.time.amounts import batch_amounts, decode_amounts
from ftc.compiler.time.attention_pairs import Attending, kernel_of, looks_back_alone
from ftc.compiler.time.eval_work import forward_work
from ftc.compiler.time.network import network_of
from ftc.compiler.time.run_work import step_work
from ftc.compiler.time.speed import DeviceSpeed, by_calibration, shared
from ftc.spec import canonical
from ftc.spec.architectures import architecture
from ftc.spec.documents.device import Calibration, MeasuredLook, MeasuredPass, MeasuredStep, Measurement
from ftc.spec.documents.estimates import Work
from ftc.spec.documents.facts import DeviceFacts, ModelFacts, TokenizerFacts
from ftc.spec.sections.train import Precision
from ftc.spec.strategies.common import low_rank

__all__ = ["Kind", "calibrated_speed", "look_work", "measured_work"]


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
                yield look_work(look, device), look.seconds
        elif kind == "write" and look.seconds > read.get(config, look.seconds):
            yield look_work(look, device), look.seconds - read[config]


def _part(draft: ClosedDraft, found: Calibration) -> float:
    """Part of the cores that were measured which each process has, where several share a processor."""
    processes = draft.candidate.devices
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


def look_work(look: MeasuredLook, device: DeviceFacts) -> Work:
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
    return 2 if one.precision == "bfloat16" else 4


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
