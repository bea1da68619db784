"""Codes 73x: experiment trackers."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC730",
        title="a tracker has not taken the whole run",
        cause="A process beside the run reports it to trackers, so one that is down, slow or misconfigured neither "
        "stops nor slows the run. It is finished; the record says how many values the tracker took.",
        wrong="ftc apply recipe.yaml   # the tracking server doesn't answer",
        right="ftc run track 7f3a2b --to mlflow   # later: sends all of it, nothing twice",
        severity=Severity.WARNING,
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC731",
        title="tracker's folder outside the project",
        cause="A recipe writes inside its project alone, and the folders of runs and of ftc itself hold nothing else.",
        wrong="track: {tensorboard: {folder: ../logs}}",
        right="track: {tensorboard: {folder: tensorboard}}",
    ),
    Code(
        id="FTC732",
        title="model that can't be registered",
        cause="A registered model is served by MLflow: it is a finished run with its base model inside the project, "
        "whose rows are texts.",
        wrong="ftc run track 7f3a2b --to tensorboard --register tickets",
        right="ftc run track 7f3a2b --to mlflow --register tickets",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
