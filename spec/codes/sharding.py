"""Codes 29x, several devices and what they share."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

CODES: tuple[Code, ...] = (
    Code(
        id="FTC290",
        title="nothing to share, or to move",
        cause="`train.sharding` says what each of several devices holds, and `train.offload` where the parts lie that "
        "`fsdp` makes. With one device, or with `ddp`, they would do nothing.",
        wrong="train: {sharding: fsdp}",
        right="train: {sharding: fsdp}\nbudget: {devices: 2}",
    ),
    Code(
        id="FTC291",
        title="something that can't be sharded",
        cause="torch's `fully_shard` divides every weight, gradient and moment among devices. Quantized weights, "
        "weights outside the model's own way forward, and optimizers that need whole matrices can't be divided so.",
        wrong="strategy: {kind: qlora}\ntrain: {sharding: fsdp}\nbudget: {devices: 2}",
        right="strategy: {kind: lora}\ntrain: {sharding: fsdp}\nbudget: {devices: 2}",
    ),
    Code(
        id="FTC292",
        title="more devices than rows for them",
        cause="Devices share the rows of each step. One without a row would wait, and a micro-batch can't be larger "
        "than the share of one device.",
        wrong="train: {batch_size: 2}\nbudget: {devices: 4}",
        right="train: {batch_size: 8}\nbudget: {devices: 4}",
    ),
    Code(
        id="FTC293",
        title="more devices than this machine has",
        cause="The plan is for more devices of a kind than this machine has. It can be applied where there are enough "
        "of them.",
        wrong="budget: {device: auto, devices: 4}   # on a machine with two cards",
        right="budget: {device: auto, devices: 2}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC294",
        title="too little memory on the host",
        cause="One process reads a model into the host's memory, from where it is divided among devices, and with "
        "`offload: cpu` parts, gradients and moments stay there.",
        wrong="train: {sharding: fsdp, offload: cpu}\nbudget: {devices: 2}   # 8B weights and more, in 64 GiB",
        right="train: {sharding: fsdp}\nbudget: {devices: 8}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC295",
        title="devices that can't be counted",
        cause="`devices: auto` chooses among as many cards as this machine has. Of a card that is named or described "
        "and isn't here nobody knows how many there are where the plan will be applied.",
        wrong="budget: {device: h100-80gb, devices: auto}   # on a laptop",
        right="budget: {device: h100-80gb, devices: 8}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
)
