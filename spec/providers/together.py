"""Together AI: LoRA and full training of models of the hub, with weights back.

Keys and defaults are those of its client, release 3.1.1. Whatever the plan knows is said: nothing is left to a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftc.spec.providers.card import Asked, ProviderCard, Setting
from ftc.spec.providers.common import EVERYWHERE

__all__ = ["TOGETHER"]


def _request(asked: Asked) -> dict[str, Any]:
    settings, train = asked.plan.settings, asked.plan.settings.train
    schedule = train.schedule
    ends: dict[str, Any] = {"min_lr_ratio": schedule.min_lr_ratio or 0.0}
    if schedule.kind == "cosine":
        ends["num_cycles"] = 0.5
    body: dict[str, Any] = {
        "model": asked.model,
        "training_file": asked.train,
        "packing": train.packing,
        "max_seq_length": settings.text.max_length,
        "n_epochs": asked.epochs,
        "n_evals": asked.epochs if asked.validation else 0,
        "n_checkpoints": 1,
        "batch_size": train.batch_size,
        "gradient_accumulation_steps": 1,
        "learning_rate": train.learning_rate,
        "lr_scheduler": {"lr_scheduler_type": schedule.kind, "lr_scheduler_args": ends},
        "warmup_ratio": round(schedule.warmup_steps / train.num_steps, 6),
        "max_grad_norm": train.max_grad_norm or 0.0,
        "weight_decay": train.optimizer.weight_decay,
        "training_type": _training_type(asked),
        "training_method": {"method": "sft", "train_on_inputs": False},
        "random_seed": asked.plan.recipe.train.seed,
        "suffix": asked.marker,
    }
    if asked.validation is not None:
        body["validation_file"] = asked.validation
    if settings.model.commit is not None:
        body |= {"from_hf_model": settings.model.base, "hf_model_revision": settings.model.commit}
    return body


def _training_type(asked: Asked) -> Mapping[str, Any]:
    adapter = asked.plan.settings.to_json()["strategy"].get("adapter")
    if adapter is None:
        return {"type": "Full"}
    return {
        "type": "Lora",
        "lora_r": adapter["rank"],
        "lora_alpha": adapter["alpha"],
        "lora_dropout": float(adapter["dropout"]),
        "lora_trainable_modules": ",".join(adapter["targets"]),
    }


TOGETHER = ProviderCard(
    name="together",
    title="Together AI",
    base_url="https://api.together.ai/v1",
    key="TOGETHER_API_KEY",
    closings=(),
    model_is_base=True,
    settings=(
        Setting("text.max_length", "sent", "max_seq_length"),
        Setting("model.base", "sent", "model, from_hf_model"),
        Setting("model.commit", "sent", "hf_model_revision"),
        Setting("strategy.kind", "sent", "training_type", ("lora", "full")),
        Setting("strategy.adapter.rank", "sent", "lora_r"),
        Setting("strategy.adapter.alpha", "sent", "lora_alpha"),
        Setting("strategy.adapter.dropout", "sent", "lora_dropout"),
        Setting("strategy.adapter.targets", "sent", "lora_trainable_modules"),
        Setting("strategy.adapter.num_modules", "here", "follows from the targets"),
        Setting("strategy.adapter.trained_modules", "only", "adapters alone", ([],)),
        Setting("strategy.adapter.also_trained", "only", "adapters alone", ([],)),
        Setting("strategy.adapter.token_ids", "only", "adapters alone", ([], None)),
        Setting("strategy.adapter.target_parameters", "only", "experts stay as they are", ([], None)),
        Setting("strategy.adapter.num_parameters", "here", "follows from these"),
        Setting("strategy.adapter.ranks", "only", "one rank for all", ({},)),
        Setting("strategy.adapter.alphas", "only", "one alpha for all", ({},)),
        Setting("strategy.adapter.rank_stabilized", "only", "scaled by alpha / rank", (False,)),
        Setting("strategy.adapter.dora", "only", "plain LoRA", (False,)),
        Setting("strategy.adapter.init", "only", "it names no other beginning", ("default",)),
        Setting("train.batch_size", "sent", "batch_size"),
        Setting("train.packing", "sent", "packing"),
        Setting("train.learning_rate", "sent", "learning_rate"),
        Setting("train.max_grad_norm", "sent", "max_grad_norm"),
        Setting("train.optimizer.weight_decay", "sent", "weight_decay"),
        Setting("train.schedule.kind", "sent", "lr_scheduler_type", ("linear", "cosine")),
        Setting("train.schedule.warmup_steps", "sent", "warmup_ratio"),
        Setting("train.schedule.min_lr_ratio", "sent", "min_lr_ratio"),
        Setting("train.schedule", "here", "of other schedules"),
        Setting("seeds", "sent", "random_seed, from `train.seed`; it draws its own numbers"),
        *EVERYWHERE,
    ),
    request=_request,
    weight="weight",
    shortest_rows=None,
    previews=True,
    estimates=True,
    returns_weights=True,
    usage=("token_count", "total_price"),
    not_pinned=(
        "the order of the rows in each epoch",
        "the optimizer but for its weight decay",
        "precision, kernels and hardware",
        "the service's software",
    ),
    not_proved=("that training saw these rows and these settings: the service says so, and nobody can do it again",),
)
