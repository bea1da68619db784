"""Models outside the project, in folders that the machine's owner allows: nobody copies 140 GB into a project.

A recipe may come from a stranger, so it can't name folders by itself. The owner lists them, in the environment variable
`FTC_MODEL_PATHS` (as `PATH` is written) or in `ftc/config.toml` in the user's configuration folder:

    model_paths = ["/srv/models"]

A recipe then names a model as it lies in one of them, such as `llama-3-8b`, which holds on every machine, or by its
absolute path.
"""

from __future__ import annotations

import os
from pathlib import Path

from ftc.compiler.resolve.files.safe_files import UnsafePath, safe_path
from ftc.spec.diagnostics import Refusal, diagnostic

__all__ = ["OTHER_WAY", "allowed_folders", "find_outside"]

VARIABLE = "FTC_MODEL_PATHS"
OTHER_WAY = (
    f"for a model outside the project, the machine's owner lists its folder in `{VARIABLE}`, or as "
    '`model_paths = ["/srv/models"]` in `~/.config/ftc/config.toml`'
)
"""What to do about a model that a project can't hold."""


def allowed_folders() -> tuple[Path, ...]:
    """Folders in which models may lie, those of the environment variable first; ones that aren't there are left out.

    Raises:
        Refusal: FTC345, the configuration can't be read.
    """
    named = [entry for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry.strip()]
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    file = Path(home).expanduser() / "ftc" / "config.toml"
    try:
        text = file.read_text(encoding="utf-8")
        import tomllib  # most machines have no such file

        listed = tomllib.loads(text).get("model_paths", [])
        if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
            raise ValueError("`model_paths` is a list of folders")
        named += listed
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        help = 'write `model_paths = ["/srv/models"]`'
        summary = f"ftc's configuration {file} can't be read"
        raise Refusal([diagnostic("FTC345", summary, notes=str(error)[:200], help=help, path="model.base")]) from None
    folders = (Path(entry).expanduser() for entry in named)
    return tuple(dict.fromkeys(folder.resolve() for folder in folders if folder.is_absolute() and folder.is_dir()))


def find_outside(base: str) -> tuple[Path, Path] | None:
    """A model's folder and the allowed folder that it lies in, links followed; None where there is none.

    Args:
        base: `model.base`: a path inside one of the allowed folders, or an absolute one that leads into it.

    Raises:
        Refusal: FTC345, the configuration can't be read.
    """
    for allowed in allowed_folders():
        path = Path(base)
        try:
            inside = path.resolve().relative_to(allowed).as_posix() if path.is_absolute() else base
            found = safe_path(allowed, inside)
        except (UnsafePath, ValueError, OSError, RuntimeError):
            continue
        if found.is_dir() and found != allowed:
            return found, allowed
    return None
