"""A sweep's file and folder: what is searched, and where its trials are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.sweep import Sweep
from ftc.spec.language.forms import ReadForm, read_form
from ftc.spec.language.source import LARGEST_FILE
from ftc.spec.storage.paths import sweeps_folder

__all__ = ["SUFFIX", "SweepFile", "damaged", "read_sweep"]

SUFFIX = ".sweep.yaml"


@dataclass(frozen=True, slots=True)
class SweepFile:
    """A sweep with its places.

    Attributes:
        path: Its file.
        read: What the file says.
        root: The project that its recipe belongs to.
    """

    path: Path
    read: ReadForm[Sweep]
    root: Path

    @property
    def sweep(self) -> Sweep:
        """What is searched."""
        return self.read.value

    @property
    def recipe(self) -> Path:
        """The recipe whose settings are searched."""
        return self.path.parent / self.sweep.recipe

    @property
    def name(self) -> str:
        """Its name, which its folder has too."""
        return self.path.name.removesuffix(SUFFIX)

    @property
    def folder(self) -> Path:
        """Where its trials are kept."""
        return sweeps_folder(self.root) / self.name


def read_sweep(path: Path) -> SweepFile:
    """Reads a sweep's file.

    Raises:
        Refusal: It is no sweep (FTC581, or a code of the text), it is no regular file (FTC326), its recipe isn't there
            (FTC582), or one of them leads out of the project (FTC300).
        OSError: The file can't be read.
    """
    from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, read_named, safe_path

    if not path.name.endswith(SUFFIX):
        help = f"name it `{path.stem.removesuffix('.sweep')}{SUFFIX}`"
        raise Refusal([diagnostic("FTC581", f"`{path.name}` is not the name of a sweep", help=help)])
    begins = "`ftc_sweep: 1`, `recipe:` and `space:`"
    data = read_named(path, path.name, LARGEST_FILE)
    read = read_form(data, path.name, Sweep, "FTC581", called="sweep", begins=begins)
    place, recipe = read.source.span("recipe"), read.value.recipe
    try:
        is_there = safe_path(project_root(path), recipe, path.resolve().parent).is_file()
        fault = None if is_there else diagnostic("FTC582", f"there is no recipe `{recipe}` beside the sweep", place)
    except UnsafePath as unsafe:  # `pick --write` would edit it, and findings show its lines
        fault = unsafe.diagnostic(place)
    if fault:
        refusal = Refusal([fault])
        refusal.sources = {path.name: read.lines}
        raise refusal
    return SweepFile(path, read, project_root(path.parent / recipe))


def damaged(file: Path, reason: str) -> Refusal:
    """What to say where a file of a sweep's folder isn't what ftc and Optuna wrote."""
    help = f"restore it from a copy, or delete `{file.parent}` to start over; the trials' runs stay"
    return Refusal([diagnostic("FTC609", f"`{file.name}` of the sweep can't be read", notes=reason, help=help)])
