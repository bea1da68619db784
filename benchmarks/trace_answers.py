"""What the answer of the memory trace costs: from ftc's cache, and for a model of 70 billion weights that is new to it.

    python benchmarks/trace_answers.py [ROUNDS]

The second is asked of a fresh process, loading of the libraries included, beside a fresh process that does nothing but
import transformers' and peft's model classes. CPU seconds of whole process trees, medians, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' small jobs are made there

from support.processes import ONE_THREAD, alternate, machine, median

from ftc.spec.documents.memory_trace import BatchShape, TraceJob
from tests.support.trace_jobs import trace_job

_CONFIG = {
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
"""Llama 2 70B's sizes, as published."""
_IMPORTS = "from transformers import AutoModelForCausalLM; from peft import get_peft_model"
_MISS = """
import sys
from pathlib import Path
from ftc.compiler.memory.trace_client import Tracer
from ftc.spec.documents.memory_trace import TraceJob
with Tracer(Path(sys.argv[2])) as tracer:
    answer = tracer.answer(TraceJob.model_validate_json(Path(sys.argv[1]).read_bytes()))
assert answer.result is not None, answer.reason
"""
_HIT = """
import json, sys, time
from pathlib import Path
from ftc.compiler.memory.trace_client import Tracer
from ftc.spec.documents.memory_trace import TraceJob
job = TraceJob.model_validate_json(Path(sys.argv[1]).read_bytes())
started = time.process_time()
with Tracer(Path(sys.argv[2])) as tracer:
    answer = tracer.answer(job)
seconds = time.process_time() - started
assert answer.result is not None, answer.reason
print(json.dumps({"seconds": seconds, "torch": "torch" in sys.modules}))
"""


def main() -> None:
    """Prints both figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=3, metavar="ROUNDS", help="default: 3")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        file, kept = Path(folder) / "job.json", Path(folder) / "kept"
        file.write_text(_job().model_dump_json(by_alias=True), encoding="utf-8")
        # A file in place of the cache's folder: nothing can be kept, so every answer is traced.
        nowhere = Path(folder) / "nowhere"
        nowhere.touch()
        commands = {
            "import": [sys.executable, "-c", _IMPORTS],
            "traced": [sys.executable, "-c", _MISS, file, nowhere],
        }
        costs = alternate(commands, rounds, env={**os.environ, **ONE_THREAD})
        subprocess.run([sys.executable, "-c", _MISS, file, kept], check=True)
        hits = [_hit(file, kept) for _ in range(rounds)]
    print(machine())
    bare, traced = median(costs["import"]), median(costs["traced"])
    print(f"importing transformers and peft   {bare.cpu:6.2f} CPU s")
    print(f"a new answer, 70 billion weights  {traced.cpu:6.2f} CPU s, {traced.cpu / bare.cpu:.2f} times as much")
    print(f"an answer from the cache          {1000 * statistics.median(hits):6.1f} CPU ms, without torch")


def _job() -> TraceJob:
    job = trace_job(
        _CONFIG,
        "qlora",
        shape=BatchShape(length=2048, supervised=512, padded=False),
        rank=16,
        targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        train__activation_checkpointing=True,
        train__precision="bfloat16",
        train__micro_batch=1,
    )
    return job.model_copy(update={"evaluation": None})


def _hit(file: Path, kept: Path) -> float:
    output = subprocess.run([sys.executable, "-c", _HIT, file, kept], check=True, capture_output=True, text=True).stdout
    told = json.loads(output)
    assert not told["torch"], "torch was loaded for an answer from the cache"
    return float(told["seconds"])


if __name__ == "__main__":
    main()
