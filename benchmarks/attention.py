"""How long torch's attention for CPUs takes beside products of linear layers, on one thread, in float32.

A row's queries look at all of its tokens through a mask, as packed rows and padded batches need it; the linear layer is
as wide as the model. Forward and backward together, by CPU time; the two take turns. Printed are billions of operations
a second of each, a multiplication and an addition counted apart, five products of pairs on the way back, and how much
longer an operation of attention takes. `compiler/time/operator_costs.py` goes by medians.

    python benchmarks/attention.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional

MODELS = ((9, 64), (14, 64), (12, 64), (16, 128))
"""Heads and the width of one: of SmolLM2-135M, Qwen2.5-0.5B, BERT-base and a model of 2,048."""
ROWS = ((4, 256), (4, 576), (2, 1024), (1, 2048))
"""Rows of a batch, and their tokens."""


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one turn."""
    started = time.process_time()
    work()
    return time.process_time() - started


def attention(rows: int, length: int, heads: int, width: int) -> Callable[[], object]:
    """Attention of a batch through a mask, forward and backward."""
    parts = [torch.randn(rows, heads, length, width, requires_grad=True) for _ in range(3)]
    mask = torch.ones(rows, 1, length, length, dtype=torch.bool).tril()
    return lambda: functional.scaled_dot_product_attention(*parts, attn_mask=mask).sum().backward()


def linear(tokens: int, width: int) -> Callable[[], object]:
    """A linear layer whose weights are frozen, forward and backward."""
    states, weight = torch.randn(tokens, width, requires_grad=True), torch.randn(width, width)
    return lambda: functional.linear(states, weight).sum().backward()


def main() -> None:
    """Prints a line for each shape, and the median of how much longer attention takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ratios = []
    for heads, width in MODELS:
        hidden = heads * width
        for rows, length in ROWS:
            ways = attention(rows, length, heads, width), linear(rows * length, hidden)
            turns = [[seconds(way) for way in ways] for _ in range(asked.rounds + 1)][1:]  # the first warms up
            operations = 2 * 7 * hidden * rows * length**2, 2 * 2 * rows * length * hidden**2
            fastest = [min(turn[way] for turn in turns) for way in range(2)]
            pairs, products = (amount / taken / 1e9 for amount, taken in zip(operations, fastest, strict=True))
            ratios.append(products / pairs)
            print(f"{heads:3} heads of {width:3}, {rows} rows of {length:4} tokens: ", end="")
            print(f"attention {pairs:4.0f}, linear layer {products:4.0f}, {ratios[-1]:.2f} times as long", flush=True)
    print(f"median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
