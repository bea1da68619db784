"""Codes 6xx, the machine, the installed packages and the run itself."""

from ftc.spec.codes._code import Code

CODES: tuple[Code, ...] = (
    Code(
        id="FTC600",
        title="unknown device",
        cause="`budget.device` is `auto`, `cpu` or a card of ftc's catalogue, whose memory and abilities the plan uses.",
        wrong="budget: {device: rtx-4900}",
        right="budget: {device: rtx-4090}",
        exit_code=3,
    ),
    Code(
        id="FTC601",
        title="ftc isn't installed as a package",
        cause="The list of packages that a run imports comes from ftc's own package data, which isn't there when the "
        "sources are only on the import path.",
        wrong="PYTHONPATH=src python -m ftc plan",
        right="pip install -e . && ftc plan",
        exit_code=1,
    ),
)
