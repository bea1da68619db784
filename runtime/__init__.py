"""Executes a plan: the only part of ftc that imports torch. Start reading at `execute`, then `loop`."""

import logging
import os
import sys

# Where the package `kernels` is installed, bitsandbytes and transformers fetch code from the hub and run it. A run
# executes nothing that its lock doesn't pin, so to them it is not installed; bitsandbytes need not say so in each run.
# transformers 5.25 depends on the package, and loads no model without it unless it is told that such code isn't wanted.
sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]
os.environ["USE_HUB_KERNELS"] = "NO"
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
