"""Launchers that take a file: what is written for each, and what starts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ftc.verbs.job_files.kubernetes import train_job
from ftc.verbs.job_files.skypilot import task
from ftc.verbs.job_files.slurm import sbatch_script, submit
from ftc.verbs.launch import Launch

__all__ = ["JOB_FILES", "JobFile"]


@dataclass(frozen=True, slots=True)
class JobFile:
    """A launcher that takes a file.

    Attributes:
        suffix: Behind the plan's name.
        text: What is written; raises `Refusal` where a setting of the site is missing (FTC710).
        start: Starts what was written, or tells what does; gives the end of the sentence that names the file.
    """

    suffix: str
    text: Callable[[Launch], str]
    start: Callable[[Path], str]


JOB_FILES: Mapping[str, JobFile] = {
    "slurm": JobFile(".sbatch", sbatch_script, submit),
    "k8s": JobFile(".trainjob.yaml", train_job, lambda file: f"`kubectl create -f {file}` starts it"),
    "sky": JobFile(".sky.yaml", task, lambda file: f"`sky jobs launch {file}` starts it"),
}
"""By the word of `--on`."""
