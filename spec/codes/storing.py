"""72x: runs whose state is also at an address. Exit codes vary."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES = (
    Code(
        id="FTC720",
        title="the site's storage can't be used",
        cause="`storage` in `ftc.launch.yaml` names a bucket or folder in which runs keep their state. It is read and "
        "written once before training, so that missing credentials, a missing bucket or no network cost no GPU time. "
        "At the end of a run the same code says that its last state is on this machine alone: apply the plan again to "
        "store it.",
        wrong="ftc apply job.plan.json   # on a machine without credentials for the bucket",
        right="aws configure && ftc apply job.plan.json",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC721",
        title="a checkpoint could not be stored",
        cause="The connection to the site's storage broke, several times in a row. The run goes on: the checkpoint is "
        "in `runs/`, the storage has the one before, and the next one holds all that this one held.",
        wrong="ftc apply job.plan.json   # the network fails at step 40",
        right="ftc apply job.plan.json   # no action is needed; it stores the newest checkpoint again",
        severity=Severity.WARNING,
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC722",
        title="a stored state is damaged",
        cause="A file in the site's storage is missing, or its size or sha256 is another one than the list of its "
        "state says. Nothing of that state is used; an older one is, or the run begins at its first step.",
        wrong="aws s3 rm s3://bucket/ftc/news/7f3a2b/objects/41c09a7b…",
        right="ftc apply job.plan.json   # continues from an older state",
        severity=Severity.WARNING,
        exit_code=ExitCode.INTEGRITY,
    ),
)
