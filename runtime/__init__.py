"""Executes a plan: the only part of ftc that imports torch. Start reading at `execute`, then `loop`."""

import logging
import sys

# Where the package `kernels` is installed, bitsandbytes and transformers fetch code from the hub and run it. A run
# executes nothing that its lock doesn't pin, so to them it is not installed; bitsandbytes need not say so in each run.
sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
