"""Codes of what people do with a finished run: chats, servers, new rows, and the hub."""

from __future__ import annotations

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES = (
    Code(
        id="FTC750",
        title="a run that can't be chatted with",
        cause="`ftc chat` needs a model that writes text. A classifier, a regressor or a model that cuts answers out "
        "of a context writes none; `ftc predict` shows its predictions. A run that continues plain texts has no place "
        "for a system message.",
        wrong="ftc chat 7f3a2b   # a classifier",
        right='ftc predict 7f3a2b "Where is my parcel?"',
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC751",
        title="a line of a chat that can't be answered",
        cause="The line is empty, the model's chat template refuses it, or the conversation is longer than the rows "
        "that the run was trained on. The line is forgotten, and the chat continues.",
        wrong="a conversation of 2,000 tokens with a run of `data: {max_length: 512}`",
        right="/reset",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
