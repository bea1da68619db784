"""The adapter that a hosted service trained becomes the run's own.

Nothing in its folder is executed: ftc reads the tensors, and what peft is told about them is the plan's.
"""

from __future__ import annotations

from typing import Any

import torch

from ftc.runtime.artifacts.checkpoint import artifact_tensors, load_artifact
from ftc.runtime.artifacts.tensor_files import read_tensors
from ftc.runtime.execution.session import Session
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.lineage import ADAPTER_WEIGHTS

__all__ = ["fetched_adapter"]

_MOST_NAMED = 3


def fetched_adapter(session: Session, model: Any) -> dict[str, torch.Tensor]:
    """Puts the fetched adapter into a model that is as it was before the first step, and gives its tensors.

    They have the model's own type for them: a service's bfloat16 becomes float32 without losing a bit.

    Raises:
        Refusal: It is not the one that the plan pins (FTC620), or not all of it is the model's (FTC798).
    """
    asked, settings = session.plan.settings.model.fetched, session.plan.settings
    assert asked is not None, "only such a plan has the step"
    folder = session.folder.path.resolve().parents[2] / asked.folder
    for name, facts in asked.files.items():
        why = f"there is no `{asked.folder}/{name}`"
        try:
            found = file_digest(folder / name)
        except OSError:
            found = ""
        else:
            why = f"its digest is {found[:12]}, the plan says {facts.sha256[:12]}"
        if found != facts.sha256:
            summary = f"`{name}` of job `{asked.job}` differs from the plan"
            raise Refusal([diagnostic("FTC620", summary, notes=why, help="restore the job's folder from a copy")])
    try:
        theirs = read_tensors(folder / "adapter" / ADAPTER_WEIGHTS)
    except OSError as error:
        raise _unfit(asked.job, f"its weights can't be read: {error.strerror or error}") from None
    ours = artifact_tensors(model, settings)
    if other := sorted(ours.keys() ^ theirs.keys()):
        missing = sum(name in ours for name in other)
        named = ", ".join(other[:_MOST_NAMED])
        raise _unfit(asked.job, f"it lacks {missing} tensors and has {len(other) - missing} others, such as {named}")
    if other := [name for name, one in ours.items() if one.shape != theirs[name].shape]:
        name = other[0]
        shapes = f"{tuple(theirs[name].shape)} instead of {tuple(ours[name].shape)}"
        raise _unfit(asked.job, f"{len(other)} tensors have other shapes, such as {name}: {shapes}")
    held = {name: one.to(ours[name].dtype) for name, one in theirs.items()}
    if broken := [name for name, one in held.items() if not bool(torch.isfinite(one).all())]:
        raise _unfit(asked.job, f"{len(broken)} tensors hold numbers that are not finite, such as {broken[0]}")
    load_artifact(model, settings, held)
    taken = artifact_tensors(model, settings)
    if taken.keys() != held.keys() or not all(torch.equal(one, held[name]) for name, one in taken.items()):
        raise _unfit(asked.job, "the model does not take all of it")
    return taken


def _unfit(job: str, why: str) -> Refusal:
    help = "check at the service what the job trained; its files stay where they are"
    summary = f"what job `{job}` made is no adapter as the plan has it"
    return Refusal([diagnostic("FTC798", summary, notes=why, help=help)])
