"""Codes of precisions: what a device or a model does not compute well in 16 bits."""

from ftc.spec.codes._code import Code, Severity

CODES: tuple[Code, ...] = (
    Code(
        id="FTC288",
        title="slow precision on this CPU",
        cause="The CPU has no instructions for this 16-bit type and converts each number: results are right, but the "
        "run is many times slower than in float32.",
        wrong="train: {precision: float16}  # on a CPU",
        right="train: {precision: auto}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC289",
        title="model overflows float16",
        cause="float16 has no number above 65,504, and pretrained models of this type have larger activations. The run "
        "stops where a loss is not finite. bfloat16 and float32 have room for them.",
        wrong="model: {base: google/gemma-2-2b}\ntrain: {precision: float16}",
        right="model: {base: google/gemma-2-2b}\ntrain: {precision: float32}",
        severity=Severity.WARNING,
    ),
)
