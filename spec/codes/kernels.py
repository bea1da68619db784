"""Codes of fused kernels."""

from ftc.spec.codes._code import Code, Severity

CODES: tuple[Code, ...] = (
    Code(
        id="FTC674",
        title="fused kernels are not used",
        cause="The recipe asks for fused kernels of layers (`train.kernels`), but there is no CUDA GPU, liger-kernel "
        "is not installed or doesn't know the model type, the job is one that they can't be used in, or their compiler "
        "failed before the first step. torch's own kernels compute these parts. Results are right; steps take more "
        "time and memory.",
        wrong="train: {kernels: liger}   # on a CPU",
        right="train: {kernels: auto}",
        severity=Severity.WARNING,
    ),
)
