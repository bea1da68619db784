"""The speed of a device as `ftc calibrate` measured it: its roofline, held against the steps that were measured."""

from __future__ import annotations

from ftc.compiler.budget.amounts import batch_amounts
from ftc.compiler.budget.attended import Attending, Kernel, kernel_of, looks_back_alone
from ftc.compiler.budget.network import Network, network_of
from ftc.compiler.budget.run_work import step_work
from ftc.compiler.budget.speed import DeviceSpeed, by_calibration, shared
from ftc.compiler.draft import Draft
from ftc.spec.calibration import Calibration, MeasuredStep
from ftc.spec.facts import DeviceFacts, ModelFacts, TokenizerFacts
from ftc.spec.time import Work

__all__ = ["calibrated_speed", "measured_work"]


def calibrated_speed(draft: Draft) -> DeviceSpeed | None:
    """The speed of the draft's device in its precision; None where nobody measured it."""
    found, precision = draft.calibration, draft.values["train.precision"]
    if found is None:
        return None
    steps = [
        (measured_work(step, draft.device), step.seconds)
        for step in found.measured.steps
        if step.precision == precision
    ]
    speed = by_calibration(found, precision, steps, draft.device)
    return None if speed is None else shared(speed, _part(draft, found))


def _part(draft: Draft, found: Calibration) -> float:
    """Part of the cores that were measured which each process has, where several share a processor."""
    processes: int = draft.values["train.world_size"]
    if processes == 1 or draft.device.kind != "cpu":
        return 1.0
    threads = min(float(draft.values["device.threads"]), draft.device.threads / processes)
    return min(1.0, threads / found.threads)


def measured_work(step: MeasuredStep, device: DeviceFacts) -> Work:
    """What a measured step had to do on the device that it was measured of."""
    facts = _facts(step)
    kernel = kernel_of(facts, device, "sdpa", step.precision, training=True)
    attending = Attending(kernel, causal=looks_back_alone(facts))
    amounts = batch_amounts(step.rows, step.length, scored=step.scored, attending=attending)
    network = _network(step, facts, kernel)
    return step_work(network, amounts, 1, 2 if step.precision == "bfloat16" else 4, checkpointing=False)


def _network(step: MeasuredStep, facts: ModelFacts, kernel: Kernel) -> Network:
    return network_of(
        facts,
        ranks=dict.fromkeys(step.adapted, step.rank),
        trained=() if step.rank else tuple(step.linear_modules),
        flows_from_start=not step.rank,
        trainable=step.trainable,
        new_outputs=step.labels,
        attention=kernel,
    )


def _facts(step: MeasuredStep) -> ModelFacts:
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
        family="encoder" if config["model_type"] == "bert" else "decoder",
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
