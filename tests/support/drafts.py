"""Drafts for tests of passes: facts made up, nothing read from anywhere."""

from __future__ import annotations

from typing import Any

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.passes import SHAPING, decide, run_passes
from ftc.compiler.passes.shape_text import with_rows
from ftc.spec.devices import CARDS
from ftc.spec.documents.facts import DeviceFacts, FileFacts, ModelFacts, TensorFacts, TokenizerFacts
from ftc.spec.documents.settings import Open
from ftc.spec.documents.streams import SplitReport
from tests.support.recipes import parsed, read, recipe_text

__all__ = ["CARD", "CPU", "H200", "T4", "decided", "draft_of", "model_facts", "shaped", "split_report"]

GIB = 2**30
CPU = DeviceFacts(
    name="cpu", kind="cpu", label="A CPU", memory_bytes=32 * GIB, count=1, has_bfloat16=False, threads=4, local=True
)
CARD = DeviceFacts(
    name="rtx-4090",
    kind="cuda",
    label="NVIDIA GeForce RTX 4090",
    memory_bytes=24 * GIB,
    count=1,
    has_bfloat16=True,
    threads=8,
    local=False,
)

H200 = CARD.model_copy(update={"name": "h200", "capability": (9, 0), "memory_bytes": CARDS["h200"].memory_bytes})
"""`CARD` with the memory and the compute capability of an H200."""
T4 = CARD.model_copy(
    update={
        "name": "t4",
        "label": "Tesla T4",
        "memory_bytes": CARDS["t4"].memory_bytes,
        "has_bfloat16": False,
        "capability": CARDS["t4"].capability,
        "speed": CARDS["t4"].speed,
    }
)


def model_facts(*, layers: int = 2, hidden: int = 64, family: str = "decoder", **changes: Any) -> ModelFacts:
    """A Llama of any size, or a BERT where `family` is `encoder`."""
    wide = 4 * hidden
    linear = {
        f"model.layers.{layer}.{name}": size
        for layer in range(layers)
        for name, size in (
            ("self_attn.q_proj", (hidden, hidden)),
            ("self_attn.v_proj", (hidden, hidden)),
            ("mlp.up_proj", (hidden, wide)),
            ("mlp.down_proj", (wide, hidden)),
        )
    }
    tensors = {f"{name}.weight": TensorFacts(dtype="F32", shape=(o, i)) for name, (i, o) in linear.items()}
    tensors["model.embed_tokens.weight"] = TensorFacts(dtype="F32", shape=(1000, hidden))
    tokenizer = TokenizerFacts(
        vocab_size=1000,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        bos_id=1,
        eos_id=2,
        pad_id=0,
        model_max_length=None,
        chat_template="{{ messages }}",
    )
    values: dict[str, Any] = {
        "name": "models/tiny",
        "source": "local",
        "commit": None,
        "files": {"config.json": FileFacts(size=1, sha256="0" * 64)},
        "architecture": "LlamaForCausalLM" if family == "decoder" else "BertModel",
        "model_type": "llama" if family == "decoder" else "bert",
        "family": family,
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_layers": layers,
        "num_heads": 4,
        "num_kv_heads": 4,
        "head_dim": hidden // 4,
        "vocab_size": 1000,
        "max_positions": 512,
        "tied_embeddings": True,
        "tensors": tensors,
        "linear_modules": linear,
        "license": "apache-2.0",
        "tokenizer": tokenizer,
    }
    return ModelFacts(**{**values, **changes})


def split_report(rows: int, **changes: Any) -> SplitReport:
    """A split of rows of at most 100 tokens."""
    report: dict[str, Any] = {
        "rows_read": rows,
        "rows": rows,
        "tokens": 60 * rows,
        "length_p50": 60,
        "length_p95": 90,
        "length_max": 100,
        "supervised_tokens": 10 * rows,
        "supervised_max": 20,
        "truncated_rows": 0,
        "dropped_rows": 0,
        "first_dropped": (),
        "unsupervised_turns": 0,
        "rows_without_stop_token": 0,
        "rows_with_merged_boundary": 0,
        "stream_digest": f"{rows:064x}",
    }
    return SplitReport(**{**report, **changes})


def draft_of(
    *,
    facts: ModelFacts | None = None,
    device: DeviceFacts = CPU,
    splits: dict[str, int] | None = None,
    labels: tuple[str, ...] = ("cold", "warm"),
    **sections: Any,
) -> Draft:
    """A draft of a plain recipe with sections replaced; `facts` are the model's, `splits` gives rows by split."""
    recipe, source = parsed(**sections), read(recipe_text(**sections))
    counts = {"train": 100, "validation": 10, "test": 10} if splits is None else splits
    return Draft(
        recipe,
        source,
        facts or model_facts(),
        device,
        splits={name: split_report(rows) for name, rows in counts.items()},
        labels=labels if recipe.task.kind == "classification" else (),
    )


def shaped(draft: Draft) -> Draft:
    """The draft with its text settled, as for rows whose columns are named like the task's parts."""
    draft = run_passes(SHAPING, draft)
    prompt = ("{{ prompt }}", "the usual one") if draft.shape.prompt is Open.OPEN else None
    return with_rows(draft, ({}, "as the task names them"), prompt, draft.labels)


def decided(draft: Draft) -> ClosedDraft:
    """What the passes make of a draft of nothing but facts."""
    return decide(shaped(draft))
