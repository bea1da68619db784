"""Plans recipes in a process that notes what Python itself is asked to do: the interpreter's audit events.

    python guarded.py RECIPE...

Prints one JSON object: what came of each recipe, what was started, connected to, unpickled or compiled, and which
modules the last recipes loaded that the first one had not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WATCHED = (
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pickle.find_class",
    "pty.spawn",
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "subprocess.Popen",
    "urllib.Request",
    "webbrowser.open",
)


def main(recipes: list[str]) -> None:
    """Plans each recipe; `events` are those of all of them."""
    from ftc import api
    from ftc.spec.diagnostics import Refusal

    events: list[list[str]] = []
    folder = str(Path(recipes[0]).resolve().parent)
    root = Path(api.__file__).parents[1]

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        code = getattr(arguments[0], "co_filename", "") if event == "exec" else ""
        if event in WATCHED or code.startswith(folder):
            events.append([event, *map(repr, arguments)])

    sys.addaudithook(note)
    outcomes, modules = [], set(sys.modules)
    for number, recipe in enumerate(recipes):
        try:
            api.plan(recipe)
            outcomes.append(["planned"])
        except Refusal as refusal:
            outcomes.append([one.code for one in refusal.diagnostics])
        if number == 0:
            modules = set(sys.modules)
    loaded = sorted(name for name in set(sys.modules) - modules if not _is_own(name, root))
    print(json.dumps({"outcomes": outcomes, "events": events, "loaded": loaded}))


def _is_own(name: str, root: Path) -> bool:
    """Whether a module is part of ftc: the parts for the rarer findings load when they are needed."""
    file = getattr(sys.modules[name], "__file__", None)
    return name.startswith("ftc.") and file is not None and Path(file).is_relative_to(root)


if __name__ == "__main__":
    main(sys.argv[1:])
