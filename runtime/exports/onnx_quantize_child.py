"""A program of its own: onnxruntime's quantizer turns an ONNX file into one of 8 bits.

C code that parses files has no place in ftc's process, and nothing of ftc is imported here.
`onnx_quantize_child.py FILE TARGET` writes TARGET: weights as whole numbers with a scale for each channel, activations
of 8 bits that are scaled as they come. Of a weight's 8 bits 7 are used: with all of them the sums of CPUs without
VNNI overflow, and the file would say other things there than where it was proved.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

__all__: list[str] = []


def main(file: Path, target: Path) -> None:
    """Writes the file of 8 bits."""
    logging.disable(logging.WARNING)  # it advises a preparation that the exporter's graphs have had
    quantize_dynamic(file, target, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
