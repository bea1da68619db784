"""A program of its own: onnxruntime opens an ONNX file, and answers as long as it is asked.

C code that parses files has no place in ftc's process, and nothing of ftc is imported here.
`onnx_child.py FILE THREADS` reads lines of JSON with the names of two files, runs the arrays of the first through the
model, writes the second, and says in a line how many seconds the model took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

__all__: list[str] = []


def main(file: Path, threads: int) -> None:
    """Answers until nothing is asked any more."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    for line in sys.stdin:
        job = json.loads(line)
        with np.load(job["inputs"]) as arrays:
            inputs = dict(arrays)
        began = time.perf_counter()
        found = session.run(names, inputs)
        seconds = time.perf_counter() - began
        np.savez(job["outputs"], **dict(zip(names, found, strict=True)))
        sys.stdout.write(f"{seconds!r}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
