"""The release of ftc, in the one place from which the package, the plans and the caches take it."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
