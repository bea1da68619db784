"""How texts become vectors: what the recipe leaves open, settled by the model's family."""

from __future__ import annotations

from ftc.compiler.draft import Draft, Reasons
from ftc.spec.documents.loss_settings import EmbeddingSettings
from ftc.spec.embedding_losses import Pooling
from ftc.spec.tasks.embedding import Embedding

__all__ = ["vector_settings"]


def vector_settings(draft: Draft, why: Reasons) -> dict[str, EmbeddingSettings]:
    """How texts become vectors; nothing for a task without."""
    task = draft.recipe.task
    if not isinstance(task, Embedding):
        return {}
    pooling: Pooling
    if task.pooling != "auto":
        pooling = why.take("embedding.pooling", task.pooling, "task.pooling")
    elif draft.loaded.family == "decoder":
        pooling = why.derive("embedding.pooling", "last", "only a decoder's last token has read the whole text")
    else:
        pooling = why.derive("embedding.pooling", "mean", "the usual way for an encoder")
    lengths = tuple(sorted(set(task.matryoshka) - {draft.model.hidden_size}))
    found = EmbeddingSettings(
        loss=why.take("embedding.loss", task.loss, "task.loss"),
        temperature=why.take("embedding.temperature", task.temperature, "task.temperature"),
        pooling=pooling,
        normalize=why.take("embedding.normalize", task.normalize, "task.normalize"),
        matryoshka=why.take("embedding.matryoshka", lengths, "task.matryoshka"),
        query_prefix=why.take("embedding.query_prefix", task.query_prefix, "task.query_prefix"),
        passage_prefix=why.take("embedding.passage_prefix", task.passage_prefix, "task.passage_prefix"),
    )
    return {"embedding": found}
