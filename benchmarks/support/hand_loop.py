"""Fine-tuning by hand, as one writes it for one model and one data set: the loop that ftc's is compared with.

LoRA on q_proj and v_proj, float32, AdamW, batches of 4 rows twice a step, rows padded to the longest of their batch in
shuffled order, the loss from `model(labels=...)` over the answers' tokens. Prints one JSON line a step.

    python hand_loop.py MODEL ROWS.jsonl OUTPUT
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

NUM_STEPS, MICRO_BATCH, ACCUMULATION, MAX_LENGTH = 10, 4, 2, 256
RANK, ALPHA, LEARNING_RATE, SEED = 8, 16, 1e-4, 17
IGNORED = -100

Row = tuple[list[int], list[int]]
"""Token ids, and the same with everything that is not learnt replaced by `IGNORED`."""


class Lora(nn.Module):
    """A frozen linear layer with a trained low-rank update beside it."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.empty(RANK, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, RANK))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(…, in) to (…, out)."""
        output: torch.Tensor = self.base(inputs) + (inputs @ self.down.T @ self.up.T) * (ALPHA / RANK)
        return output


def load_model(folder: str) -> Any:
    """The model, frozen, with the updates in place."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.requires_grad_(requires_grad=False)
    for layer in model.model.layers:
        layer.self_attn.q_proj = Lora(layer.self_attn.q_proj)
        layer.self_attn.v_proj = Lora(layer.self_attn.v_proj)
    return model.train()


def encode(tokenizer: Any, messages: list[dict[str, str]]) -> Row:
    """One question and one answer; the answer and the token that ends it are learnt."""
    question = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    prompt = tokenizer(question, add_special_tokens=False)["input_ids"]
    ids = tokenizer(whole, add_special_tokens=False)["input_ids"][:MAX_LENGTH]
    end = len(ids) - 1 if ids[-1] != tokenizer.eos_token_id else len(ids)  # the template's last line feed is no answer
    return ids, [token if len(prompt) <= place < end else IGNORED for place, token in enumerate(ids)]


def batches(rows: list[Row], pad_id: int) -> Iterator[dict[str, torch.Tensor]]:
    """The rows as micro-batches."""
    for start in range(0, len(rows), MICRO_BATCH):
        chosen = rows[start : start + MICRO_BATCH]
        width = max(len(ids) for ids, _ in chosen)
        yield {
            "input_ids": torch.tensor([ids + [pad_id] * (width - len(ids)) for ids, _ in chosen]),
            "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in chosen]),
            "labels": torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in chosen]),
        }


def main(model_folder: str, data: str, output: str) -> None:
    """Trains."""
    torch.manual_seed(SEED)
    tokenizer, model = AutoTokenizer.from_pretrained(model_folder), load_model(model_folder)
    with Path(data).open(encoding="utf-8") as lines:
        rows = [encode(tokenizer, json.loads(line)["messages"]) for line in lines]
    random.Random(SEED).shuffle(rows)
    feed = batches(rows, tokenizer.pad_token_id)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0)
    for step in range(NUM_STEPS):
        started, tokens, supervised, total = time.perf_counter(), 0, 0, 0.0
        for _ in range(ACCUMULATION):
            batch = next(feed)
            loss = model(**batch, use_cache=False).loss / ACCUMULATION
            loss.backward()
            total += loss.item()
            tokens += int(batch["attention_mask"].sum())
            supervised += int((batch["labels"] != IGNORED).sum())
        nn.utils.clip_grad_norm_(trained, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / NUM_STEPS)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        figures = {"kind": "step", "step": step + 1, "tokens": tokens, "supervised": supervised, "loss": total}
        print(json.dumps({**figures, "seconds": time.perf_counter() - started}), flush=True)
    save_file({name: p.detach() for name, p in model.named_parameters() if p.requires_grad}, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
