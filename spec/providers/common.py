"""Settings that mean the same at every hosted service: what stays on this machine, and what none has a word for."""

from __future__ import annotations

from ftc.spec.providers.card import Setting

__all__ = ["EVERYWHERE"]

_HERE = "of this machine; the service has its own"
_ROWS = "in the rows that are sent"

EVERYWHERE: tuple[Setting, ...] = (
    Setting("device", "here", _HERE),
    Setting("eval", "here", "of the evaluation, which is not done there"),
    Setting("text", "here", _ROWS),
    Setting("model.architecture", "here", "follows from the base"),
    Setting("model.family", "here", "follows from the base"),
    Setting("model.head", "here", "follows from the task"),
    Setting("model.decoder_start_id", "here", "follows from the base"),
    Setting("model.pad_id", "here", "follows from the base's tokenizer"),
    Setting("model.stop_ids", "here", "follows from the base's tokenizer"),
    Setting("model.attention", "here", _HERE),
    Setting("train.num_steps", "sent", "passes over the rows"),
    Setting("train.steps_per_epoch", "here", "follows from rows and batch"),
    Setting("train.micro_batch", "here", _HERE),
    Setting("train.micro_batch_tokens", "here", _HERE),
    Setting("train.world_size", "here", _HERE),
    Setting("train.nodes", "here", _HERE),
    Setting("train.context_parallel", "here", _HERE),
    Setting("train.tensor_parallel", "here", _HERE),
    Setting("train.sharding", "here", _HERE),
    Setting("train.offload", "here", _HERE),
    Setting("train.fused", "here", _HERE),
    Setting("train.activation_checkpointing", "here", _HERE),
    Setting("train.loss_chunk_size", "here", _HERE),
    Setting("train.compile", "here", _HERE),
    Setting("train.kernels", "here", _HERE),
    Setting("train.keep_checkpoints", "here", _HERE),
    Setting("train.save_in_background", "here", _HERE),
    Setting("train.determinism.kernels", "here", _HERE),
    Setting("train.determinism.proof_steps", "here", _HERE),
    Setting("train.determinism.asked", "only", "no service promises the same bits", ("off", "auto", "best_effort")),
    Setting("train.precision", "fixed", "the service chooses it"),
    Setting("train.batching", "fixed", "the service orders the rows"),
    Setting("train.evaluate_every_steps", "fixed", "the service decides"),
    Setting("train.select", "fixed", "the weights after the last step"),
    Setting("train.select_metric", "fixed", "the weights after the last step"),
    Setting("train.select_higher", "fixed", "the weights after the last step"),
    Setting("train.early_stopping", "only", "not asked for", (None,)),
    Setting("train.head_learning_rate", "only", "there is no new head", (None,)),
    Setting("train.head_modules", "only", "there is no new head", ([],)),
    Setting("train.parameter_groups", "only", "one learning rate for all", ([],)),
    Setting("train.class_weights", "only", "rows count the same", ([],)),
    Setting("train.b_rate_ratio", "only", "one learning rate for both matrices", ("1.0",)),
    Setting("train.label_smoothing", "only", "plain cross entropy", ("0.0",)),
    Setting("train.focal_gamma", "only", "plain cross entropy", (None,)),
    Setting("train.neftune_alpha", "only", "no noise on embeddings", (None,)),
    Setting("train.loss", "only", "plain cross entropy", (None,)),
    Setting("train.z_loss", "only", "plain cross entropy", (None,)),
    Setting("train.quantize_aware", "only", "no rounded weights in training", (None,)),
    Setting("train.ema_decay", "only", "no average of the weights", (None,)),
    Setting("train.average_checkpoints", "only", "no average of the weights", (None,)),
    Setting("train.distillation", "only", "no teacher", (None,)),
    Setting("train.preference", "only", "not a preference", (None,)),
    Setting("train.regression", "only", "no numbers", (None,)),
    Setting("train.reranking", "only", "no ranking", (None,)),
    Setting("train.embedding", "only", "no vectors", (None,)),
    Setting("train.router", "only", "experts are the service's concern", (None,)),
    Setting("train.sampling", "only", "no sampled answers", (None,)),
    Setting("train.optimizer", "fixed", "the service's own optimizer"),
    Setting("train.schedule", "fixed", "the service's own schedule"),
)
"""Entries of a service's own, which are longer or stand in its card, come before these."""
