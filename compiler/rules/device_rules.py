"""Rules of the device and of the machine that holds it; `check_facts` runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.resolve.machine.local import other_accelerators
from ftc.compiler.resolve.models.model_form import installed_release
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.optimizers import optimizer_card
from ftc.spec.quantized_weights import TORCHAO
from ftc.spec.strategies.on_experts import LEAST_PEFT

__all__ = ["DEVICE_RULES"]


def devices_are_here(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A machine that has such a card has as many as the plan is for; any number of processes shares a CPU."""
    asked, device = draft.devices_of_a_machine, draft.device
    if device.local and device.kind == "cuda" and asked > device.count:
        has = "one" if device.count == 1 else str(device.count)
        help = f"write `devices: {device.count}`, or apply the plan on a machine with {asked}"
        summary = f"the plan needs {asked} of {device.label}, this machine has {has}"
        yield _found(draft, "FTC293", summary, "budget.devices", help=help)


def accelerators_are_used(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Nobody waits for a CPU in the belief that the machine's accelerator trains."""
    if draft.recipe.budget.device == "auto" and draft.device.kind == "cpu":
        for one in other_accelerators():
            summary = f"this machine has {one.label}, which ftc doesn't train on; the plan is for the CPU"
            help = ("write `device: cpu` if that is meant", "or plan for an NVIDIA GPU, such as `device: rtx-4090`")
            yield _found(draft, "FTC611", summary, "budget.device", help=help)


def optimizer_package_is_here(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The package that the optimizer is from is installed, where the run is for this machine and can train here."""
    card = optimizer_card(draft.candidate.optimizer)
    if draft.device.local and "torch" in draft.packages and card.package not in draft.packages:
        summary, help = (
            f"`{card.kind}` needs the package `{card.package}`",
            f"`pip install 'ftc[{card.extra}]'` installs it",
        )
        yield _found(draft, "FTC650", summary, "train.optimizer.kind", help=help)


def rounding_package_is_here(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """torchao is installed, where weights or products are rounded in training on this machine."""
    train = draft.train
    if not (draft.device.local and "torch" in draft.packages and TORCHAO not in draft.packages):
        return
    help = f"`pip install 'ftc[{TORCHAO}]'` installs it"
    for settings, path, words in (
        (train.quantize_aware, "train.quantize_aware", "`quantize_aware`"),
        (train.float8, "train.precision", f"`precision: {train.precision}`"),
    ):
        if settings is not None:
            yield _found(draft, "FTC650", f"{words} needs the package `{TORCHAO}`", path, help=help)


def peft_reads_experts(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """peft knows which side of experts is read, where they get an adapter on this machine."""
    release = installed_release("peft") if draft.device.local else None
    if draft.strategy.traits.of_experts and release is not None and release < LEAST_PEFT:
        least, here = (".".join(map(str, one)) for one in (LEAST_PEFT, release))
        summary = f"an adapter of experts needs peft {least}, and {here} is installed"
        help = f"install a later release: `pip install 'peft>={least}'`"
        yield _found(draft, "FTC650", summary, "strategy.target_parameters", help=help)


DEVICE_RULES: tuple[Callable[[ClosedDraft], Iterator[Diagnostic]], ...] = (
    devices_are_here,
    accelerators_are_used,
    optimizer_package_is_here,
    rounding_package_is_here,
    peft_reads_experts,
)


def _found(draft: ClosedDraft, code: str, summary: str, at: str, *, help: str | tuple[str, ...]) -> Diagnostic:
    return diagnostic(code, summary, draft.source.span(at), help=help, path=at)
