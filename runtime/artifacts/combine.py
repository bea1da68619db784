"""The adapters of several runs become one, through peft.

Nothing in their folders is executed: ftc reads the tensors, and the options that peft gets for each adapter are in the
plan.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ftc.runtime.artifacts.tensor_files import content_digest, read_tensors
from ftc.runtime.execution.session import Session
from ftc.runtime.models.base_model import quiet_transformers
from ftc.runtime.strategies import half_of
from ftc.runtime.strategies.with_peft import peft_for
from ftc.runtime.training.seeding import seed_everything
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.lineage import ADAPTER_WEIGHTS, CombinedAdapter

__all__ = ["combined_adapter"]

_RESULT = "combined"


@contextmanager
def combined_adapter(session: Session) -> Iterator[tuple[Any, dict[str, torch.Tensor]]]:
    """Makes the adapter that the plan's settings describe: the model that holds it, and its tensors.

    Raises:
        Refusal: One of the adapters is not the one that the plan pins (FTC620), or the model doesn't take it (FTC630).
    """
    asked = session.plan.settings.model.combined
    assert asked is not None, "only such a plan has the step"
    strategy = session.plan.settings.strategy
    root = session.folder.path.resolve().parents[2]
    tensors = [_read(root / one.folder, one) for one in asked.adapters]
    work = session.build()
    model: Any = work.model
    names = [f"adapter-{number}" for number in range(len(asked.adapters))]
    with torch.no_grad(), quiet_transformers(), peft_for(strategy) as peft:
        for name, one, held in zip(names, asked.adapters, tensors, strict=True):
            config = copy.deepcopy(model.peft_config["default"])
            config.r, config.lora_alpha, config.alpha_pattern = one.rank, one.alpha, dict(one.alphas)
            model.add_adapter(name, config)
            peft.set_peft_model_state_dict(model, held, adapter_name=name)
            if content_digest(peft.get_peft_model_state_dict(model, adapter_name=name)) != one.weights_sha256:
                summary = f"the model does not take the adapter of run `{one.run_id}`"
                help = "plan again with the installed version of peft"
                raise Refusal([diagnostic("FTC630", summary, help=help)])
        if asked.seed is not None:
            seed_everything(asked.seed)  # which numbers are dropped is drawn here
        weights = [one.weight for one in asked.adapters]
        model.base_model.add_weighted_adapter(
            names, weights, _RESULT, combination_type=asked.method, density=asked.density
        )
        made = {name: one.float() for name, one in peft.get_peft_model_state_dict(model, adapter_name=_RESULT).items()}
        for name in (*names, _RESULT):
            model.delete_adapter(name)
        model.set_adapter("default")
        half_of(strategy).load(model, strategy, made)
    session.state.update(selected_step=0)
    yield model, half_of(strategy).saved(model, strategy)
    session.base = session.trained = None
    session.accelerator.free_memory()


def _read(folder: Path, one: CombinedAdapter) -> dict[str, torch.Tensor]:
    why = f"there is no `{one.folder}/{ADAPTER_WEIGHTS}`"
    try:
        tensors = read_tensors(folder / ADAPTER_WEIGHTS)
    except OSError as error:
        why = f"it can't be read: {error.strerror or error}"
    else:
        if (found := content_digest(tensors)) == one.weights_sha256:
            return tensors
        why = f"its tensors have the digest {found[:12]}, the plan says {one.weights_sha256[:12]}"
    summary = f"the adapter of run `{one.run_id}` differs from the plan"
    raise Refusal([diagnostic("FTC620", summary, notes=why, help="restore the run's folder, or combine again")])
