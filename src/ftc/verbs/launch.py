"""Starting a saved plan on several machines: the plan, and how the site starts jobs."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.launch import LAUNCH_FILE, LaunchSettings, WriterSettings
from ftc.spec.documents.plan import Plan
from ftc.spec.storage.reading import read_regular
from ftc.spec.writers import writer_card

__all__ = ["Launch", "launch_of", "several_machines", "site_settings", "writer_site", "writer_url"]


@dataclass(frozen=True, slots=True)
class Launch:
    """A saved plan, and how the site starts jobs.

    Attributes:
        plan: The plan.
        file: Its file.
        root: The project that it belongs to.
        settings: Of the site.
    """

    plan: Plan
    file: Path
    root: Path
    settings: LaunchSettings

    def words(self, file: Path) -> list[str]:
        """What every process is called with, behind `ftc`, where the plan's file has that path."""
        return ["apply", str(file), "--expect", self.plan.sha256]

    @property
    def written_by(self) -> str:
        """The line by which `ftc launch` knows a file of its own."""
        plan = self.plan
        return f"# Plan {plan.sha256[:12]} of job {plan.run_id}. Written by `ftc launch`; site settings: {LAUNCH_FILE}."

    @property
    def place(self) -> Path:
        """The plan's file, relative to the project."""
        return self.file.resolve().relative_to(self.root)

    def agent_words(self, head: str) -> str:
        """A line of shell that starts one machine's processes, in the project's folder.

        Args:
            head: Where the machines meet, as shell; a run of one machine needs no such place.
        """
        words = ["ftc", "launch", str(self.place), "--on", "torchrun", "--expect", self.plan.sha256]
        meeting = f' --head "{head}"' if self.plan.settings.train.nodes > 1 else ""
        return shlex.join(words) + meeting

    @property
    def devices(self) -> int:
        """Processes of each machine."""
        train = self.plan.settings.train
        return train.world_size // train.nodes


def launch_of(file: Path, plan: Plan) -> Launch:
    """A plan with the site's settings, those of `ftc.launch.yaml` in its project.

    Raises:
        Refusal: The settings can't be read (FTC707, or a code of the text).
        OSError: The file can't be read.
    """
    from ftc.compiler.resolve.files.safe_files import project_root

    root = project_root(file)
    return Launch(plan, file, root, site_settings(root))


def site_settings(root: Path) -> LaunchSettings:
    """The settings of `ftc.launch.yaml` in a project; the defaults where it has none. For errors see `launch_of`."""
    from ftc.spec.language.forms import read_form

    place = root / LAUNCH_FILE
    if not os.path.lexists(place):
        return LaunchSettings(ftc_launch=1)
    data = read_regular(place)
    return read_form(data, LAUNCH_FILE, LaunchSettings, "FTC707", called="launch file", begins="`ftc_launch: 1`").value


def writer_site(root: Path, plan: Plan) -> WriterSettings:
    """Where the server is that writes a plan's answers, as the site has it; see `site_settings` for errors."""
    sampling = plan.settings.train.sampling
    known = site_settings(root).writers if sampling is not None and not sampling.writing.here else {}
    return known.get(sampling.writer, WriterSettings()) if sampling is not None else WriterSettings()


def writer_url(root: Path, plan: Plan) -> str:
    """Address of the server that writes a plan's answers; see `site_settings` for errors."""
    assert plan.settings.train.sampling is not None, "the caller looked"
    usual = writer_card(plan.settings.train.sampling.writer).address
    return writer_site(root, plan).url or usual or ""


def several_machines(plan: Plan) -> Refusal:
    """Why `ftc apply` alone can't run a plan."""
    train = plan.settings.train
    summary = f"the plan needs {train.nodes} machines with {train.world_size // train.nodes} processes each"
    help = "start it with `ftc launch PLAN --on slurm`, or with `ftc launch PLAN --on torchrun` on each machine"
    return Refusal([diagnostic("FTC706", summary, help=help)])
