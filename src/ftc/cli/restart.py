"""Beginning a command anew, for what an interpreter reads once and never again."""

from __future__ import annotations

import os
import sys

__all__ = ["Restart"]


class Restart(BaseException):
    """Raised by a verb before it has done anything: its environment has to be another one from the start.

    Args:
        environment: Variables that have to be set.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(", ".join(environment))
        self.environment = environment

    def follow(self) -> int:
        """Starts the command anew in place of this process; only where a system can't do that does it come back."""
        command = [sys.executable, *sys.orig_argv[1:]]
        environment = {**os.environ, **self.environment}
        if os.name == "posix":
            os.execve(sys.executable, command, environment)  # noqa: S606 - the same command, with words as they were
        import subprocess

        return subprocess.run(command, env=environment, check=False).returncode
