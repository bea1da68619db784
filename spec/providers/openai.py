"""The protocol of OpenAI's fine-tuning, which Azure and servers of one's own speak, too.

OpenAI's own service takes a number of epochs, a batch size, a seed and a multiplier of a learning rate that it keeps to
itself. Its tuned models stay there.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from ftc.spec.providers.card import Asked, Closing, ProviderCard, Setting
from ftc.spec.providers.common import EVERYWHERE

__all__ = ["OPENAI"]


def _request(asked: Asked) -> dict[str, Any]:
    numbers: dict[str, Any] = {"n_epochs": asked.epochs, "batch_size": asked.plan.settings.train.batch_size}
    if asked.site.learning_rate_multiplier is not None:
        numbers["learning_rate_multiplier"] = asked.site.learning_rate_multiplier
    body: dict[str, Any] = {
        "model": asked.model,
        "training_file": asked.train,
        "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
        "seed": asked.plan.recipe.train.seed,
        "suffix": asked.marker,
        "metadata": {"ftc_job": asked.marker, "ftc_plan": asked.plan.sha256},
    }
    return body if asked.validation is None else {**body, "validation_file": asked.validation}


OPENAI = ProviderCard(
    name="openai",
    title="OpenAI's protocol",
    base_url="https://api.openai.com/v1",
    key="OPENAI_API_KEY",
    closings=(
        Closing(
            "api.openai.com",
            date(2027, 1, 6),
            "OpenAI takes no new fine-tuning jobs; tuned models answer until their base is shut down",
        ),
    ),
    model_is_base=False,
    settings=(
        Setting("model.base", "here", "it gives tokens here; `openai.model` in ftc.launch.yaml is trained there"),
        Setting("model.commit", "here", "of the base that gives tokens here"),
        Setting("strategy", "fixed", "the service's own method"),
        Setting("train.batch_size", "sent", "batch_size"),
        Setting("train.packing", "fixed", "the service decides"),
        Setting("train.learning_rate", "fixed", "the service's own rate, times learning_rate_multiplier"),
        Setting("train.max_grad_norm", "fixed", "the service decides"),
        Setting("seeds", "sent", "seed, from `train.seed`; it draws its own numbers"),
        *EVERYWHERE,
    ),
    request=_request,
    weight="weight",
    shortest_rows=10,
    previews=False,
    estimates=False,
    returns_weights=False,
    usage=("trained_tokens",),
    not_pinned=(
        "the base's weights, of which only the name is known",
        "tokenizer and chat template",
        "method, learning rate and optimizer",
        "the order of the rows in each epoch",
        "precision, kernels and hardware",
        "the service's software",
    ),
    not_proved=(
        "that training saw these rows and these settings: the service says so, and nobody can do it again",
        "which weights the tuned model has: they stay at the service",
    ),
)
