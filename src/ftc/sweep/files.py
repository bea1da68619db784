"""A sweep's file and folder: what is searched, and where its trials are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.sweep import Sweep
from ftc.spec.language.forms import ReadForm, read_form

__all__ = ["SUFFIX", "SweepFile", "read_sweep"]

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
        return self.root / ".ftc" / "sweeps" / self.name


def read_sweep(path: Path) -> SweepFile:
    """Reads a sweep's file.

    Raises:
        Refusal: It is no sweep (FTC581, or a code of the text), or its recipe isn't there (FTC582).
        OSError: The file can't be read.
    """
    from ftc.compiler.resolve.files.safe_files import project_root

    if not path.name.endswith(SUFFIX):
        help = f"name it `{path.stem.removesuffix('.sweep')}{SUFFIX}`"
        raise Refusal([diagnostic("FTC581", f"`{path.name}` is not the name of a sweep", help=help)])
    begins = "`ftc_sweep: 1`, `recipe:` and `space:`"
    read = read_form(path.read_bytes(), path.name, Sweep, "FTC581", called="sweep", begins=begins)
    found = SweepFile(path, read, project_root(path.parent / read.value.recipe))
    if not found.recipe.is_file():
        place = read.source.span("recipe")
        refusal = Refusal([diagnostic("FTC582", f"there is no recipe `{read.value.recipe}` beside the sweep", place)])
        refusal.sources = {path.name: read.lines}
        raise refusal
    return found
