"""Codes 480 to 483: what packages of others offer."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC480",
        title="package that is not installed",
        cause="The recipe names what a package offers, as a metric or a reward. ftc installs nothing, and a run would "
        "execute the package's code, so that installing it is your decision. The folder in which ftc was started does "
        "not count as an installation.",
        wrong="eval: {metrics: ['courtesy-metrics:courtesy']}  # not installed",
        right="pip install courtesy-metrics && ftc plan recipe.yaml",
    ),
    Code(
        id="FTC481",
        title="name that a package does not offer",
        cause="A package declares what it offers as entry points of the groups `ftc.metrics` and `ftc.rewards`. The "
        "installed release has none of that name in the group.",
        wrong="task: {kind: generation, prompt: '{{ text }}'}\neval: {metrics: ['courtesy-metrics:courtsey']}",
        right="task: {kind: generation, prompt: '{{ text }}'}\neval: {metrics: ['courtesy-metrics:courtesy']}",
    ),
    Code(
        id="FTC482",
        title="package whose files can't be locked",
        cause="A lock pins every file of a package that a run imports. Python would import other files than those that "
        "the package's list names: it is installed in editable mode, or another module of that name comes first.",
        wrong="pip install -e ./courtesy-metrics",
        right="pip install ./courtesy-metrics",
    ),
    Code(
        id="FTC483",
        title="value that a package may not give",
        cause="A function of a package raised an exception, can't be imported, or returned something else than a "
        "finite number; a metric's value lies between 0 and 1. A run ends here rather than guess. The checkpoint is "
        "intact.",
        wrong="def courtesy(answer, references): return 7",
        right="def courtesy(answer, references): return 0.7",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
