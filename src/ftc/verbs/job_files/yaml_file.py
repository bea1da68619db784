"""What launchers' YAML files have in common."""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.launch import LAUNCH_FILE
from ftc.verbs.launch import Launch

__all__ = ["as_yaml", "needed", "script", "variables"]


def as_yaml(launch: Launch, content: Mapping[str, Any]) -> str:
    """The text of a file: the line that says whose it is, and its content."""
    from ruamel.yaml import YAML

    writer = YAML()
    writer.width = 1_000_000  # a line of shell stays one
    out = io.StringIO()
    writer.dump(dict(content), out)
    return f"{launch.written_by}\n{out.getvalue()}"


def needed(value: str | None, section: str, key: str, meaning: str) -> str:
    """A setting of the site without which nothing can be written.

    Raises:
        Refusal: It isn't there (FTC710).
    """
    if value is None:
        help = f"write it in `{LAUNCH_FILE}`: {meaning}"
        raise Refusal([diagnostic("FTC710", f"`{section}.{key}` is not set", help=help)])
    return value


def variables(env: Sequence[str]) -> dict[str, str]:
    """Environment variables by name."""
    return {name: value for name, _, value in (one.partition("=") for one in env)}


def script(folder: str, setup: Sequence[str], words: str) -> Any:
    """A shell script of each machine: the project, the lines of the site, and the run, whose exit code counts."""
    from ruamel.yaml.scalarstring import LiteralScalarString

    return LiteralScalarString("\n".join([f"cd {shlex.quote(folder)} || exit 1", *setup, f"exec {words}"]) + "\n")
