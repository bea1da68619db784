"""Saved plans: written for a later `apply`, and read back as they were reviewed or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic

if TYPE_CHECKING:
    from ftc.spec.documents.plan import Plan
    from ftc.verbs.planned import Planned

__all__ = ["load_plan", "save_plan"]


def save_plan(planned: Planned, file: Path | str, *, force: bool = False) -> Planned:
    """Writes a plan for a later `apply`, with a mark of where the recipe's runs stand now.

    Args:
        planned: The plan.
        file: Where to; a name that is free, or a saved plan, which is replaced.
        force: Replace another file too.

    Returns:
        The plan as saved.

    Raises:
        Refusal: Something else is there (FTC651), or its folder isn't (FTC653).
        OSError: The file can't be written.
    """
    from ftc.spec.documents.ledger import state_mark
    from ftc.spec.storage.atomic_write import write_text
    from ftc.spec.storage.outputs import OutputKind, claim_output

    claim_output(Path(file), OutputKind.PLAN, force=force)
    state = state_mark(planned.root, planned.plan.name)
    saved = planned.plan.model_copy(update={"state": state}).sealed()
    write_text(Path(file), saved.to_text())
    return replace(planned, plan=saved)


def load_plan(file: Path | str) -> Plan:
    """Reads a saved plan.

    Raises:
        Refusal: It is no plan (FTC510), or was edited (FTC511).
        OSError: The file can't be read.
    """
    from pydantic import ValidationError

    from ftc.spec.canonical import own_digest
    from ftc.spec.documents.plan import Plan
    from ftc.spec.storage.outputs import reason_of

    path = Path(file)
    try:
        found = Plan.model_validate_json(path.read_bytes())
    except ValidationError as problem:
        help = "plan the recipe again with `ftc plan -o FILE`"
        note = reason_of(problem)
        raise Refusal([diagnostic("FTC510", f"`{path.name}` is no saved plan", help=help, notes=note)]) from None
    if found.sha256 != (contents := own_digest(path)):
        note = f"it says {found.sha256[:12]}, its contents give {contents[:12]}"
        help = "plan the recipe again with `ftc plan -o FILE`"
        raise Refusal([diagnostic("FTC511", f"`{path.name}` was edited after it was saved", help=help, notes=note)])
    return found
