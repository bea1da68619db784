"""A finished run's model before the first step and in the result, on the CPU, one model at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ftc.runtime.artifacts.export import load_exported
from ftc.runtime.artifacts.merge import on_processor
from ftc.runtime.evaluation.evaluate_again import reopened
from ftc.runtime.evaluation.reference import sampled
from ftc.runtime.evaluation.scoring import as_base
from ftc.runtime.execution.execute import Inputs
from ftc.runtime.execution.session import Session
from ftc.runtime.execution.verify import verify_some
from ftc.runtime.inspection.states import compared_states, states_of
from ftc.runtime.inspection.updates import (
    Table,
    adapter_changes,
    base_weights,
    first_factors,
    whole_changes,
)
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.spec.documents.events import EventListener
from ftc.spec.documents.inspected import LayerStates, ModuleChange, MovedToken
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.streams import Split
from ftc.spec.storage.model_files import SINGLE_FILE
from ftc.spec.storage.paths import RunFolder
from ftc.spec.strategies import strategy_card

__all__ = ["TOKENS", "Measured", "inspect"]

TOKENS = 20
"""Tokens that are named."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured.

    Attributes:
        changes: Of each weight, in the model's order.
        rows: Rows whose states were compared.
        places: Places of these.
        states: Of each layer.
        tokens: The farthest moved.
        notes: What was not measured.
    """

    changes: tuple[ModuleChange, ...]
    rows: int
    places: int
    states: tuple[LayerStates, ...]
    tokens: tuple[MovedToken, ...]
    notes: tuple[str, ...]


def inspect(
    plan: Plan,
    inputs: Inputs,
    run: RunFolder,
    record: RunRecord,
    split: Split | None,
    word_of: Callable[[int], str],
    listen: EventListener,
) -> Measured:
    """Measures what training changed.

    Args:
        plan: The run's plan.
        inputs: Where its base model and its token streams are.
        run: The run's folder.
        record: Its record.
        split: Rows on which states are compared; None to compare weights alone.
        word_of: A token by its id.
        listen: Called with each event.

    Raises:
        Refusal: Base, rows or weights are not the run's (FTC620, FTC621, FTC630).
        KeyboardInterrupt: Somebody asked to stop.
    """
    strategy = plan.settings.strategy
    is_whole = strategy_card(strategy).is_whole
    notes: list[str] = []
    changes: list[ModuleChange] = []
    largest: Table | None = None
    with reopened(on_processor(plan), inputs, run, record, listen) as session:
        with session.journal.phase("verify", f"{len(plan.lock.model.files)} files"):
            verify_some(plan, inputs, [split] if split else [], session.stamps)
        work = session.build() if split or not is_whole else None
        factors = {} if is_whole or work is None else first_factors(work.model)
        numbers: list[int] = []
        states = None
        if work is not None:
            states, numbers = _states(session, work, split, notes)
        found: Iterator[tuple[ModuleChange, Table | None]] = iter(())
        if is_whole:
            found = whole_changes(base_weights(plan, inputs.model_folder), run.model / SINGLE_FILE)
        elif work is not None and hasattr(work.model, "peft_config"):
            found = adapter_changes(work.model, factors)
        with torch.no_grad():
            for change, table in found:
                session.stop.check()
                changes.append(change)
                if table is not None and (largest is None or len(table.sizes) > len(largest.sizes)):
                    largest = table  # of positions and types there are fewer than of tokens
        session.stamps.confirm()
    if not changes:
        why = strategy_card(strategy).no_merging or "the strategy changes no weight of the base model"
        notes.append(f"weights are not compared: {why}")
    places, layers = states or (0, ())
    tokens = () if largest is None else _farthest(largest, word_of)
    return Measured(tuple(changes), len(numbers) if layers else 0, places, layers, tokens, tuple(notes))


def _states(
    session: Session, work: ModelWithScorer, split: Split | None, notes: list[str]
) -> tuple[tuple[int, tuple[LayerStates, ...]] | None, list[int]]:
    """Loads what was trained, and compares states before and after; their places, and the rows asked."""
    rows = session.stream(split) if split else None
    before, numbers = None, sampled(rows) if rows is not None else []
    if rows is not None:
        phase = session.journal.phase("compare", f"{len(numbers)} rows of {split}")
        try:
            with phase, as_base(session.plan.settings, work.model):
                before = states_of(work, rows, numbers, session.stop)
        except LookupError as problem:
            notes.append(f"states are not compared: {problem}")
    load_exported(session, work.model)
    if rows is None or before is None:
        return None, numbers
    found = compared_states(before, states_of(work, rows, numbers, session.stop))
    if not found:
        notes.append("states are not compared: virtual tokens make rows longer than those of the base")
    return (len(next(iter(before.kept.values()))), found), numbers


def _farthest(table: Table, word_of: Callable[[int], str]) -> tuple[MovedToken, ...]:
    ids = table.distances.topk(min(TOKENS, len(table.distances))).indices.tolist()
    found = []
    for one in ids:
        distance, size = float(table.distances[one]), float(table.sizes[one])
        if distance:
            relative = distance / size if size else None
            found.append(MovedToken(id=one, token=word_of(one), distance=distance, relative=relative))
    return tuple(found)
