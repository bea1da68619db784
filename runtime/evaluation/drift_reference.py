"""What a finished run's model makes of its validation rows, kept in the run's folder: new rows are compared with it.

It holds no text and no token, so that rows can be watched where the run's own are gone or may not be kept. Of each row
there are the number, the length, a digest of the tokens, the mean of the model's last states, and the answer where a
head gives one in the same pass. What a model writes takes too long to be written again for that.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ftc.runtime.artifacts.tensor_files import read_tensors, write_tensors
from ftc.runtime.evaluation.drift_samples import Rows, given, rows_of, write_part
from ftc.runtime.evaluation.drift_tests import Sample
from ftc.runtime.evaluation.evaluate_again import reopened
from ftc.runtime.evaluation.predict import said_of
from ftc.runtime.evaluation.reference import evenly
from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.models.pixels import with_pixels
from ftc.runtime.models.sharding import is_sharded, stacks_of
from ftc.runtime.tasks.language import LanguageScorer
from ftc.runtime.tasks.preference import PreferenceScorer
from ftc.runtime.tasks.scorer import Scorer, next_tokens, pixels_of
from ftc.spec.canonical import file_digest
from ftc.spec.documents.data_drift import MOST_ROWS, keeps_answers
from ftc.spec.documents.streams import TokenStream, open_stream
from ftc.spec.heads import head_card
from ftc.spec.storage.atomic_write import replacing
from ftc.spec.storage.paths import RunFolder

if TYPE_CHECKING:
    from ftc.runtime.execution.execute import Inputs
    from ftc.runtime.execution.session import Session
    from ftc.runtime.tasks.scorer import ModelWithScorer
    from ftc.runtime.training.signals import StopRequest
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import RunRecord

__all__ = ["read_drift_reference", "states_of_rows", "write_drift_reference"]

_SPLIT = "validation"
"""Training rows are none that a model could be watched by: it has seen them."""
_NUMBER, _FLAG = "number of ", "flag of "


def write_drift_reference(session: Session, work: ModelWithScorer) -> None:
    """Keeps what a run's tuned model makes of its validation rows, at most a thousand, evenly spread.

    A model that is divided among processes is not asked, and neither is one whose layers aren't known.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    stream = session.stream(_SPLIT)
    if stream is None or is_sharded(work.model) or not session.is_first:
        return
    plan, streams = session.plan, session.inputs.streams_folder
    with tempfile.TemporaryDirectory(prefix="ftc-drift-") as scratch:
        part = Path(scratch) / "part.arrow"
        numbers = sorted(set(stream.rows.tolist()))
        write_part(streams / f"{_SPLIT}.arrow", part, {numbers[one] for one in evenly(len(numbers), MOST_ROWS)})
        rows = with_pixels(open_stream(part), session.pixels)
        states = _states(work, plan, rows, session.stop)
        answers = keeps_answers(plan.settings.text.form, plan.settings.model.head)
        known = rows_of(plan, rows, said_of(session, work, rows) if answers else (), damaged={}, states=states)
        del rows  # which holds the file open
    if known.sample.states is None and known.sample.vectors is None:
        return
    with replacing(session.folder.drift_reference) as file:
        words = {"names": json.dumps(known.sample.names, ensure_ascii=False), **_belongs_to(plan, session.state.record)}
        write_tensors(Path(file.name), _tensors(known), words)


def _tensors(known: Rows) -> dict[str, torch.Tensor]:
    sample = known.sample
    arrays: dict[str, NDArray[Any]] = {
        "rows": np.asarray(known.numbers, np.int64),
        "lengths": np.asarray(sample.lengths, np.int32),
        "keys": np.asarray(sample.keys, np.int64),
        **{_NUMBER + title: np.asarray(one, np.float64) for title, one in sample.numbers.items()},
        **{_FLAG + title: np.asarray(one, np.uint8) for title, one in sample.flags.items()},
    }
    if sample.states is not None:
        arrays["states"] = sample.states.astype(np.float16)
    if sample.vectors is not None:
        arrays["vectors"] = sample.vectors.astype(np.float32)
    return {name: torch.from_numpy(one) for name, one in arrays.items()}


def read_drift_reference(run: RunFolder, record: RunRecord, plan: Plan) -> Rows | str:
    """What a run keeps of its validation rows, or in words why there is nothing that can be compared with."""
    file, name = run.drift_reference, run.drift_reference.name
    known = record.outputs.get(name)
    if known is None:
        return f"the run keeps no `{name}`, as runs of earlier releases and divided models don't"
    try:
        if file_digest(file) != known.sha256:
            return f"`{name}` is not the file that the record names"
        found = {title: one.numpy() for title, one in read_tensors(file).items()}
        with safe_open(file, framework="np") as opened:
            said: dict[str, str] = opened.metadata()
    except (OSError, SafetensorError):
        return f"`{name}` is gone"
    names = said.pop("names", "{}")
    if said != _belongs_to(plan, record):
        return f"`{name}` is of other weights or rows"
    sample = Sample(
        tokens=None,
        lengths=found["lengths"].tolist(),
        keys=found["keys"].tolist(),
        states=found["states"].astype(np.float64) if "states" in found else None,
        names=json.loads(names),
        numbers={title.removeprefix(_NUMBER): one.tolist() for title, one in found.items() if _NUMBER in title},
        flags={title.removeprefix(_FLAG): one.astype(bool).tolist() for title, one in found.items() if _FLAG in title},
        vectors=found["vectors"].astype(np.float64) if "vectors" in found else None,
    )
    return Rows(found["rows"].tolist(), sample)


def _belongs_to(plan: Plan, record: RunRecord) -> dict[str, str]:
    """What a reference belongs to; it has to be equal for it to be used."""
    return {
        "schema": "ftc.drift-reference/1",
        "plan_sha256": record.plan_sha256,
        "weights_sha256": record.final_weights_sha256 or "",
        "split": _SPLIT,
        "stream_sha256": plan.data[_SPLIT].stream_digest,
    }


def states_of_rows(
    plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, work: ModelWithScorer, listen: EventListener
) -> Mapping[int, NDArray[np.float64]] | None:
    """The states of the rows of the plan's test split, as those that are kept were made.

    Raises:
        KeyboardInterrupt: Somebody asked to stop.
    """
    with reopened(plan, inputs, run, record, listen) as session:
        rows = session.stream("test")
        assert rows is not None, "there are rows to compare"
        with session.journal.phase("predict", f"states of {len(set(rows.rows.tolist())):,} rows"):
            return _states(work, plan, rows, session.stop)


def _states(
    work: ModelWithScorer, plan: Plan, rows: TokenStream, stop: StopRequest
) -> Mapping[int, NDArray[np.float64]] | None:
    """By number of the row the mean of what leaves the last layer that reads it, of length 1, in steps of float16.

    None where the model's vectors say the same already, or its layers aren't known.
    """
    if plan.settings.train.embedding is not None:
        return None
    try:
        stacks = stacks_of(work.model)
    except LookupError:
        return None
    reads = stacks[0 if plan.settings.model.family == "encoder_decoder" else -1][1]
    device = next(work.model.parameters()).device
    scorer: Scorer = work.scorer.language if isinstance(work.scorer, PreferenceScorer) else work.scorer
    writes = head_card(plan.settings.model.head).writes and isinstance(scorer, LanguageScorer)
    seen: list[torch.Tensor] = []

    def keep(_module: Any, _given: Any, output: Any) -> None:
        states = output if isinstance(output, torch.Tensor) else output[0]
        seen.append(states[0] if states.dim() == 3 else states)

    sums: dict[int, torch.Tensor] = {}
    hook = reads[-1].register_forward_hook(keep)
    try:
        with eval_mode(work.model):
            for index in range(len(rows)):
                stop.check()
                seen.clear()
                read = given(plan, rows, index)
                if writes:  # nothing behind the prompt changes what is made of it
                    line = np.array(read, np.int32)
                    alone = next_tokens([line], [np.zeros(len(line), np.bool_)], plan.settings.model.pad_id)
                    prompt = torch.zeros_like(alone.ids)  # what sees ahead in some models
                    batch = replace(alone, pixels=pixels_of(rows, [index]), token_types=prompt)
                else:
                    batch = scorer.batch(rows, [index])
                scorer.logits(work.model, batch.to(device))
                states, number = seen[0], int(rows.rows[index])
                virtual = max(0, len(states) - batch.ids.shape[1])  # places that no token of the row has
                told = states[virtual:][: len(read)].double().sum(dim=0).cpu()
                sums[number] = sums[number] + told if number in sums else told
    finally:
        hook.remove()
    unit = {number: (one / one.norm().clamp_min(1e-12)).half().double().numpy() for number, one in sums.items()}
    return {number: np.asarray(one, np.float64) for number, one in unit.items()}
