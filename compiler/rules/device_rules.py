"""Rules about several devices and the machine at hand, in the form of `check_facts`, which runs them."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.process_overhead import host_bytes
from ftc.compiler.search.costs import price_of
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.plan import Check
from ftc.spec.documents.policy import POLICY_FILE

__all__ = ["device_has_a_price", "devices_are_here", "host_checks", "host_has_room"]


def device_has_a_price(draft: Draft) -> Iterator[Diagnostic]:
    """A limit on the cost needs the price of the device that a run is planned for, in the limit's currency."""
    limit, price, name, path = draft.recipe.budget.cost, price_of(draft), draft.device.name, "budget.cost"
    if limit is not None and price is None:
        help = f"add `price_per_hour` beside it, or `{name}` to `prices` in {POLICY_FILE}"
        yield diagnostic("FTC209", f"`cost` needs a price of {name}", draft.source.span(path), help=help, path=path)
    elif limit is not None and price is not None and price.currency != limit.currency:
        summary = f"cost in {limit.currency}, price of {name} in {price.currency}"
        yield diagnostic("FTC209", summary, draft.source.span(path), help="write both in one currency", path=path)


def devices_are_here(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A machine that has such a card has as many as the plan is for; any number of processes shares a CPU."""
    asked, device = draft.candidate.devices, draft.device
    if device.local and device.kind == "cuda" and asked > device.count:
        has, path = "one" if device.count == 1 else str(device.count), "budget.devices"
        help = f"write `devices: {device.count}`, or apply the plan where there are {asked}"
        summary = f"{asked} of {device.label}, and {has} here"
        yield diagnostic("FTC293", summary, draft.source.span(path), help=help, path=path)


def host_has_room(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """What a divided model takes of this machine's own memory is there; on a CPU that is the device's, and counted."""
    needed, there = host_bytes(draft), draft.device.host_bytes
    if there is not None and draft.device.kind == "cuda" and needed > there:
        path = "train.sharding"
        yield diagnostic(
            "FTC294",
            f"the run takes {needed / 2**30:.1f} GiB of the host's memory, which has {there / 2**30:.1f} GiB",
            draft.source.span(path),
            help="use a smaller base, or a host with more memory",
            notes="a process reads the model there before it is divided, and with `offload: cpu` what is trained stays",
            path=path,
        )


def host_checks(draft: ClosedDraft) -> Iterator[Check]:
    """How much of the host's memory all processes together take for a divided model, by shapes."""
    if size := host_bytes(draft):
        there = draft.device.host_bytes
        of = f" of {there / 2**30:.1f}" if there else ""
        yield Check(name="host memory", code=None, result=f"{size / 2**30:.2f}{of} GiB for all processes together")
