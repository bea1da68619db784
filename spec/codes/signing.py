"""Codes 54x, signatures."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC540",
        title="key can't be used",
        cause="`ftc sign` needs a private and `ftc verify` a public key on an elliptic curve (P-256, P-384 or P-521), "
        "as PEM, without a password.",
        wrong="ftc sign RUN --key id_rsa",
        right="openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem\n"
        "openssl pkey -in key.pem -pubout -out key.pub.pem\n"
        "ftc sign RUN --key key.pem",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC541",
        title="no signature",
        cause="There is no signature to compare the folder with, which is no proof of anything.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC542",
        title="signature does not hold",
        cause="The folder isn't the one that was signed, or another key signed it. What changed is named, where the "
        "signature itself is good.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC543",
        title="folder can't be signed",
        cause="A signature is over files. A link could lead elsewhere tomorrow, and an empty folder says nothing.",
        exit_code=ExitCode.USAGE,
    ),
)
