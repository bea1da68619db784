"""How fast this CPU multiplies float32 matrices by torch's two libraries, MKL and oneDNN, on one thread.

Each measured product is that of a linear layer with some tokens, the demo's encoder's by default. The two take turns;
printed are billions of operations a second, a multiplication and an addition counted apart, by CPU time.

    python benchmarks/products.py [--tokens 2000] [--inputs 384] [--outputs 1536] [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from ftc.runtime.evaluation.shortcuts import has_faster_linears

_SECONDS = 0.3
"""That a library computes in a round."""


def rate(product: Callable[[], object], operations: int) -> float:
    """Billions of operations a CPU second."""
    product()
    count, started = 0, time.process_time()
    while (taken := time.process_time() - started) < _SECONDS:
        product()
        count += 1
    return count * operations / taken / 1e9


def main() -> None:
    """Prints a line for each library."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in {"tokens": 2000, "inputs": 384, "outputs": 1536, "rounds": 9}.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    asked = parser.parse_args()
    if not has_faster_linears():
        parser.error("this CPU has no AVX-512, so that ftc leaves products to MKL")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    states, weight = torch.randn(asked.tokens, asked.inputs), torch.randn(asked.outputs, asked.inputs)
    ways: dict[str, Callable[[], object]] = {
        "MKL": lambda: functional.linear(states, weight),
        "oneDNN": lambda: torch.ops.mkldnn._linear_pointwise(states, weight, None, "none", [], ""),
    }
    operations = 2 * asked.tokens * asked.inputs * asked.outputs
    found: dict[str, list[float]] = {name: [] for name in ways}
    with torch.no_grad():
        for _ in range(asked.rounds):
            for name, product in ways.items():
                found[name].append(rate(product, operations))
    for name, rates in found.items():
        print(f"{name:7} {statistics.median(rates):6.0f}  ({min(rates):.0f} to {max(rates):.0f})")


if __name__ == "__main__":
    main()
