"""Codes of runs on the hub: pushed, and pulled."""

from __future__ import annotations

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES = (
    Code(
        id="FTC770",
        title="run can't be pushed",
        cause="`ftc run push` shares what a finished run left, or a folder that `ftc run merge` or `ftc run export` "
        "made of it. The run is not finished, the folder is another one's or was changed, or the run was itself pulled "
        "and lacks documents that the checks need.",
        wrong="ftc run push 7f3a2b me/tickets --from dist/other",
        right="ftc run push 7f3a2b me/tickets",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC771",
        title="base model may not be shared so",
        cause="A tuned model is a derivative of its base. The base's license forbids sharing derivatives, the "
        "project's policy doesn't allow it, or its owner gives it only to people who accept the terms.",
        wrong="ftc run push 7f3a2b me/tickets   # the base asks for consent",
        right="ftc run push 7f3a2b me/tickets --waive gated-base   # the terms allow it: you have read them",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC772",
        title="run is not fit to be shared",
        cause="A gate of the recipe failed, or the static audit found that the run's files are not those of its "
        "record. People who load the model would not know.",
        wrong="ftc run push 7f3a2b me/tickets   # accuracy is below its gate",
        right="ftc run push 7f3a2b me/tickets --waive accuracy",
        exit_code=ExitCode.GATE_FAILED,
    ),
    Code(
        id="FTC773",
        title="documents hold personal data or a path of this machine",
        cause="Texts of rows never leave. The plan holds what the recipe says, too: prompts, system messages, names of "
        "columns and folders. There is an e-mail address, a key or a home folder in one of them. A document can't be "
        "masked without losing its checksum.",
        wrong="task: {kind: generation, prompt: '{{ text }}', system: Write to jane.doe@example.com}",
        right="task: {kind: generation, prompt: '{{ text }}', system: Write to the support team}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC774",
        title="repository is not as this push expects it",
        cause="A push makes one commit on a stated parent. The repository has another commit by now, was not written "
        "by ftc, or everybody can read it although `--public` was not given. Nothing was changed.",
        wrong="ftc run push 7f3a2b me/tickets   # somebody edited its page on the hub",
        right="ftc run push 7f3a2b me/tickets --parent 1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC775",
        title="hub refused or broke off the upload",
        cause="Nobody is logged in, the token may not write there, the hub limits requests, has no room or is down, or "
        "the connection was cut. A repository that the hub doesn't answer for is never taken as changed: the same push "
        "again compares first.",
        wrong="ftc run push 7f3a2b me/tickets   # with a token that may only read",
        right="hf auth login; ftc run push 7f3a2b me/tickets",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC776",
        title="files in the repository differ from those that were pushed",
        cause="After a push the hub lists a digest for each file, and a pull compares each file with the pushed list "
        "and the run's record. One differs or is missing.",
        wrong="ftc run pull me/tickets   # somebody replaced the adapter on the hub",
        right="ftc run pull me/tickets@1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC777",
        title="pushing and pulling need the hub",
        cause="The command runs offline, by `--offline`, `FTC_OFFLINE` or `HF_HUB_OFFLINE`, and nothing of a push or a "
        "pull can be done without the hub. `--dry-run` shows offline what a push would send.",
        wrong="FTC_OFFLINE=1 ftc run push 7f3a2b me/tickets",
        right="ftc run push 7f3a2b me/tickets --dry-run",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC778",
        title="repository holds no run",
        cause="`ftc run pull` brings back a run that `ftc run push` pushed with its plan, its record and what was "
        "trained. The repository has none of these, or a merged model or a file for llama.cpp, which other programs "
        "load.",
        wrong="ftc run pull org/base-model",
        right="ftc run pull me/tickets",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC779",
        title="run was pulled, and is no longer whole",
        cause="A run that was pulled has its plan, its record, its scores and what was trained, and no rows, events or "
        "checkpoints. An audit needs these. What came was compared with the pushed list and the record when it came.",
        wrong="ftc audit 7f3a2b   # pulled from the hub",
        right="ftc audit 7f3a2b   # in the project where it was trained",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
)
