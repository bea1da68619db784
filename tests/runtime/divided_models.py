"""How far tiny models apart are from themselves, whole: `torchrun --nproc-per-node 2 -m tests.runtime.divided_models`.

The first process prints, for each model type whose card says that its layers can be divided, the largest difference of
scores and of gradients, the latter by the largest number of each.
"""

from __future__ import annotations

import json
import logging
import warnings
from typing import Any

import torch
import transformers
from torch.distributed.device_mesh import init_device_mesh

from ftc.runtime.models.sharding import whole
from ftc.runtime.models.tensor_parallel import TENSOR, TensorPlan, sum_gradients
from ftc.spec.architectures import ARCHITECTURES
from tests.support.tiny_architectures import tiny_config

_IDS = torch.arange(5, 17)[None]  # (1, T)
_SMALL = 1e-9


def main() -> None:
    """Compares them one after the other."""
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    torch.distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=(TENSOR,))
    found = {row.model_type: _apart(row.model_type, mesh) for row in ARCHITECTURES if row.divides_layers}
    if torch.distributed.get_rank() == 0:
        print(json.dumps(found))
    torch.distributed.destroy_process_group()


def _apart(kind: str, mesh: Any) -> float:
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(tiny_config(kind)).eval()
    alone = _scores(model)
    gradients = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    plan = TensorPlan(model, mesh)
    plan.divide(model)
    plan.note(model)
    apart = [float((_scores(model) - alone).abs().max())]
    sum_gradients(model)
    for name, one in model.named_parameters():
        if name in gradients:
            size = float(gradients[name].abs().max()) + _SMALL
            apart.append(float((whole(one.grad) - gradients[name]).abs().max()) / size)
    return max(apart)


def _scores(model: Any) -> torch.Tensor:
    """Scores of the next tokens, with gradients of a loss behind them."""
    scores: torch.Tensor = model(input_ids=_IDS).logits
    scores.float().log_softmax(-1)[0, :, 7].sum().backward()
    return scores.detach()


if __name__ == "__main__":
    main()
