"""Starting a saved plan on several machines: what each launcher is told."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.launch import LAUNCH_FILE, LaunchSettings, SlurmSettings
from ftc.spec.documents.plan import Plan
from ftc.spec.exit_codes import ExitCode
from ftc.spec.storage.reading import read_regular

__all__ = ["Launch", "launch_of", "sbatch_script", "several_machines", "submit"]

_SIGNAL_SECONDS = 120
"""How long before its time limit Slurm asks a job to save a checkpoint and end."""


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
    from ftc.spec.language.forms import read_form

    root = project_root(file)
    place = root / LAUNCH_FILE
    if not os.path.lexists(place):
        return Launch(plan, file, root, LaunchSettings(ftc_launch=1))
    data = read_regular(place)
    read = read_form(data, LAUNCH_FILE, LaunchSettings, "FTC707", called="launch file", begins="`ftc_launch: 1`")
    return Launch(plan, file, root, read.value)


def several_machines(plan: Plan) -> Refusal:
    """Why `ftc apply` alone can't run a plan."""
    train = plan.settings.train
    summary = f"the plan needs {train.nodes} machines with {train.world_size // train.nodes} processes each"
    help = "start it with `ftc launch PLAN --on slurm`, or with `ftc launch PLAN --on torchrun` on each machine"
    return Refusal([diagnostic("FTC706", summary, help=help)])


def sbatch_script(launch: Launch) -> str:
    """The job script for Slurm: one task for each process, and a requeue where a process or a machine was lost."""
    site, plan = launch.settings.slurm, launch.plan
    head = [f"#SBATCH {option}" for option in _options(launch, site)]
    retried = f'[ "$code" -eq {ExitCode.PROCESS_LOST} ] || [ "$code" -ge {ExitCode.SIGNALED} ]'
    file = launch.file.resolve().relative_to(launch.root)
    words = shlex.join([sys.executable, "-P", "-m", "ftc", *launch.words(file)])
    lines = [
        "#!/bin/bash",
        *head,
        "",
        f"# Plan {plan.sha256[:12]} of job {plan.run_id}. Written by `ftc launch`; site settings: {LAUNCH_FILE}.",
        f"cd {shlex.quote(str(launch.root))} || exit 1",
        *site.setup,
        "",
        "# All tasks are one run: they compare plan, code, packages and files before the first step.",
        f"srun --kill-on-bad-exit=1 {words}",
        "code=$?",
        "",
        f"# {ExitCode.PROCESS_LOST} and signals: a process or a machine was lost; the run continues.",
        "# A job that somebody cancelled is not running any more, and stays ended.",
        f'if {{ {retried}; }} && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {site.requeue} ]; then',
        '  if [ "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T)" = RUNNING ]; then',
        '    scontrol requeue "$SLURM_JOB_ID"',
        "  fi",
        "fi",
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def _options(launch: Launch, site: SlurmSettings) -> list[str]:
    plan, train = launch.plan, launch.plan.settings.train
    options = [
        f"--job-name={plan.name}",
        f"--nodes={train.nodes}",
        f"--ntasks-per-node={launch.devices}",
        f"--cpus-per-task={plan.settings.device.threads}",
    ]
    if plan.settings.device.kind == "cuda":
        options.append(f"--gpus-per-node={launch.devices}")
    options += [f"--output={plan.name}-%j.out", "--open-mode=append", "--requeue", f"--signal=TERM@{_SIGNAL_SECONDS}"]
    asked = {"partition": site.partition, "account": site.account, "qos": site.qos, "time": site.time}
    return [*options, *(f"--{name}={value}" for name, value in asked.items() if value), *site.options]


def submit(script: Path) -> str:
    """Submits a job script to Slurm, and gives the job's id.

    Raises:
        Refusal: There is no Slurm here, or it refuses the job (FTC708).
    """
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        help = f"submit `{script.name}` where Slurm is, with `sbatch {script.name}`"
        raise Refusal([diagnostic("FTC708", "this machine has no `sbatch`", help=help)])
    done = subprocess.run([sbatch, "--parsable", str(script)], capture_output=True, text=True, check=False)
    found = re.match(r"\d+", done.stdout)
    if done.returncode != 0 or found is None:
        notes = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][:5]
        help = f"change the options of `slurm` in `{LAUNCH_FILE}`"
        raise Refusal([diagnostic("FTC708", "Slurm refuses the job", notes=notes, help=help)])
    return found[0]
