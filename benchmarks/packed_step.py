"""Measures one forward and backward pass over rows of mixed lengths: padded to the longest, and packed.

Eight rows of stories of one to thirty sentences (`packing.py` makes them), SmolLM2-135M, float32, one thread, in turns
after a round that is not counted. What `packing.py` measures as whole runs, here without all else, in a minute or two.

    python benchmarks/packed_step.py [--rounds 2]
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import islice
from typing import Any

import numpy as np
import torch
from packing import mixed_rows
from support.processes import machine
from support.project import MODEL

from ftc.spec.batches import by_length, first_fit_decreasing

NUM_ROWS = 8


def encoded() -> list[list[int]]:
    """Token ids of the rows."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    return [tokenizer.encode(row["article"] + row["answer"]).ids[:1024] for row in islice(mixed_rows(), NUM_ROWS)]


def padded(rows: list[list[int]]) -> list[dict[str, torch.Tensor]]:
    """One batch, as wide as the longest row."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = torch.tensor(row)
    return [{"input_ids": ids}]


def packed(rows: list[list[int]], most_tokens: int) -> list[dict[str, torch.Tensor]]:
    """Sequences of several rows, as a run packs them."""
    lengths = np.array([len(row) for row in rows])
    packs = first_fit_decreasing(by_length(list(range(len(rows))), lengths), lengths, most_tokens)
    return [
        {
            "input_ids": torch.tensor([token for number in pack for token in rows[number]])[None],
            "position_ids": torch.cat([torch.arange(len(rows[number])) for number in pack])[None],
        }
        for pack in packs
    ]


def seconds(model: Any, batches: list[dict[str, torch.Tensor]]) -> float:
    """CPU seconds of a pass over all batches and back."""
    started = time.process_time()
    for batch in batches:
        model(**batch, use_cache=False).last_hidden_state.pow(2).mean().backward()
    model.zero_grad()
    return time.process_time() - started


def main() -> None:
    """Parses the command line and measures."""
    from transformers import AutoModel

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model: Any = AutoModel.from_pretrained(MODEL, attn_implementation="sdpa", dtype=torch.float32)
    rows = encoded()
    longest, tokens = max(map(len, rows)), sum(map(len, rows))
    most = max(longest, model.config.hidden_size)
    ways = {"padded": padded(rows), "packed": packed(rows, most)}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(arguments.rounds + 1):
        for way, batches in ways.items():
            spent = seconds(model, batches)
            if turn:
                taken[way].append(spent)
    print(f"{machine()}; {len(rows)} rows, {tokens:,} tokens, the longest {longest}, packs of up to {most}")
    speeds = {way: tokens / statistics.median(found) for way, found in taken.items()}
    for way, speed in speeds.items():
        print(f"{way}: {speed:.1f} tokens a CPU second, {speed / speeds['padded']:.2f} of padded")


if __name__ == "__main__":
    main()
