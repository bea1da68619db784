"""Slurm's job script."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.launch import LAUNCH_FILE, SlurmSettings
from ftc.spec.exit_codes import ExitCode
from ftc.verbs.launch import Launch

__all__ = ["sbatch_script", "submit"]

_SIGNAL_SECONDS = 120
"""How long before its time limit Slurm asks a job to save a checkpoint and end."""


def sbatch_script(launch: Launch) -> str:
    """The job script for Slurm: one task for each process, and a requeue where a process or a machine was lost."""
    site = launch.settings.slurm
    head = [f"#SBATCH {option}" for option in _options(launch, site)]
    retried = f'[ "$code" -eq {ExitCode.PROCESS_LOST} ] || [ "$code" -ge {ExitCode.SIGNALED} ]'
    words = shlex.join([sys.executable, "-P", "-m", "ftc", *launch.words(launch.place)])
    lines = [
        "#!/bin/bash",
        *head,
        "",
        launch.written_by,
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
    """Submits a job script to Slurm, and tells the job's id.

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
    return f"submitted as job {found[0]}"
