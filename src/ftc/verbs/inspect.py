"""`ftc run inspect RUN`: what training changed, by module and layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.version import VERSION
from ftc.verbs.merge import inputs_of
from ftc.verbs.predict import usable_inputs
from ftc.verbs.provenance import refuse_faults
from ftc.verbs.runs import Run, find_run

if TYPE_CHECKING:
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.inspected import InspectedRun

__all__ = ["Inspected", "inspect"]


@dataclass(frozen=True, slots=True)
class Inspected:
    """What training changed.

    Attributes:
        run: The run.
        report: What was measured.
    """

    run: Run
    report: InspectedRun


def inspect(
    run: Run | Path | str,
    *,
    states: bool = True,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> Inspected:
    """Measures how far a finished run's weights moved, and what that does to the states between layers.

    Weights are compared one after another. States need the model in memory, and 8 rows of validation, or of train where
    there are none; test rows stay sealed.

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        states: Whether states are compared, too.
        on_event: Called with each event.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: The run can't be used (FTC687), was changed (FTC521 to FTC525, FTC620 to FTC630), or its rows as tokens
            are gone (FTC660).
    """
    found = run if isinstance(run, Run) else find_run(str(run), folder)
    inputs = usable_inputs(found)
    refuse_faults(found, takes_pulled=True)
    from ftc.runtime.inspection.inspect import inspect as measure
    from ftc.spec.documents.inspected import InspectedRun
    from ftc.spec.storage.paths import RunFolder
    from ftc.spec.storage.tokenizer_file import load_tokenizer

    plan = found.plan
    split = inputs_of(found)[2] if states else None
    tokenizer = load_tokenizer(inputs.model_folder / "tokenizer.json")
    measured = measure(
        plan,
        inputs,
        RunFolder(found.folder),
        found.record,
        split if split != "test" else None,
        lambda one: str(tokenizer.id_to_token(one) or ""),
        on_event or (lambda event: None),
    )
    skipped = [] if states else ["states are not compared, as the command says"]
    report = InspectedRun(
        ftc_version=VERSION,
        run_id=found.record.id,
        name=plan.name,
        strategy=plan.settings.strategy.kind,
        base=plan.settings.model.base,
        parameters=plan.model.num_parameters,
        trained=plan.model.num_trainable,
        changes=measured.changes,
        split=split if measured.states and split != "test" else None,
        rows=measured.rows,
        places=measured.places,
        states=measured.states,
        tokens=measured.tokens,
        notes=(*measured.notes, *skipped),
    )
    return Inspected(found, report)
