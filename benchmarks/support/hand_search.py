"""A search by hand, as one writes it with Optuna: a plain loop over transformers and peft is called for each trial.

LoRA on every linear layer and a new head, float32, AdamW with a linear schedule, batches padded to their longest row.
Prints one JSON line a trial, and the best loss at the end.

    python hand_search.py MODEL TRAIN.jsonl VALIDATION.jsonl TRIALS SEED
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

BATCH_SIZE, MAX_LENGTH, WARMUP, STARTUP = 16, 64, 4, 8
Row = dict[str, str]


class Search:
    """Model, rows and what is the same in all trials."""

    def __init__(self, model: str, train: str, validation: str, seed: int) -> None:
        self.model, self.seed = model, seed
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.train, self.validation = _rows(train), _rows(validation)
        self.labels = {label: number for number, label in enumerate(sorted({row["label"] for row in self.train}))}

    def batches(self, rows: list[Row]) -> Iterator[tuple[Any, torch.Tensor]]:
        """Padded inputs and class numbers."""
        for start in range(0, len(rows), BATCH_SIZE):
            chosen = rows[start : start + BATCH_SIZE]
            texts = [row["text"] for row in chosen]
            inputs = self.tokenizer(texts, truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")
            yield inputs, torch.tensor([self.labels[row["label"]] for row in chosen])

    def loss(self, learning_rate: float, rank: int, dropout: float) -> float:
        """Trains once over the rows, and gives the mean loss of the validation rows."""
        torch.manual_seed(self.seed)
        base = AutoModelForSequenceClassification.from_pretrained(
            self.model, num_labels=len(self.labels), dtype=torch.float32
        )
        targets = ["query", "key", "value", "dense"]
        config = LoraConfig("SEQ_CLS", r=rank, lora_alpha=2 * rank, lora_dropout=dropout, target_modules=targets)
        model = get_peft_model(base, config).train()
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        rows = random.Random(self.seed).sample(self.train, len(self.train))
        optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
        schedule = get_linear_schedule_with_warmup(optimizer, WARMUP, len(rows) // BATCH_SIZE)
        for inputs, classes in self.batches(rows):
            cross_entropy(model(**inputs).logits, classes).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        model.eval()
        with torch.inference_mode():
            losses = [
                cross_entropy(model(**inputs).logits, classes, reduction="sum")
                for inputs, classes in self.batches(self.validation)
            ]
        return float(sum(losses)) / len(self.validation)


def _rows(file: str) -> list[Row]:
    return [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]


def main(model: str, train: str, validation: str, trials: str, seed: str) -> None:
    """Searches."""
    search = Search(model, train, validation, int(seed))

    def objective(trial: optuna.Trial) -> float:
        started = time.process_time()
        rate = trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True)
        rank = trial.suggest_categorical("rank", [4, 8, 16, 32])
        found = search.loss(rate, rank, trial.suggest_float("dropout", 0.0, 0.2, step=0.1))
        figures = {"trial": trial.number, "learning_rate": rate, "rank": rank, "loss": found}
        print(json.dumps({**figures, "cpu": time.process_time() - started}), flush=True)
        return found

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=int(seed), n_startup_trials=STARTUP))
    study.optimize(objective, n_trials=int(trials))
    print(json.dumps({"best": study.best_value}))


if __name__ == "__main__":
    main(*sys.argv[1:])
