"""Codes of what people do with a finished run: chats, servers, new rows, and the hub."""

from __future__ import annotations

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES = (
    Code(
        id="FTC750",
        title="a run that can't be chatted with",
        cause="`ftc chat` needs a model that writes text. A classifier, a regressor or a model that cuts answers out of"
        " a context writes none; `ftc predict` shows its predictions. A run that continues plain texts has no "
        "place for a system message.",
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
    Code(
        id="FTC752",
        title="a server that can't be asked",
        cause="`ftc run eval RUN --server URL` asks a server that speaks OpenAI's protocol. The address is none of http"
        " or https, holds a password or key, can't be reached, or the server has no model of that name, or "
        "several.",
        wrong="ftc run eval 7f3a2b --server http://me:secret@host:8000/v1",
        right="KEY=… ftc run eval 7f3a2b --server http://host:8000/v1 --key-env KEY",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC753",
        title="a server left requests without an answer",
        cause="Some requests ended with a status of 400 or more, a redirect, no answer in time, half of one, or one "
        "that is not OpenAI's protocol. Their rows count as empty answers.",
        wrong="ftc run eval 7f3a2b --server http://host:8000/v1 --at-once 64   # status 503",
        right="ftc run eval 7f3a2b --server http://host:8000/v1 --at-once 2 --timeout 300",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC754",
        title="a server makes other prompts",
        cause="The server applies another chat template than the run, or another tokenizer: the prompt that it makes of"
        " a conversation is not the one that the run was trained on. This is the most frequent reason for poor "
        "answers of a tuned model that is served.",
        wrong="vllm serve merged/demo --chat-template other.jinja",
        right="vllm serve merged/demo",
        exit_code=ExitCode.NOT_REPRODUCED,
    ),
    Code(
        id="FTC755",
        title="a server has another model",
        cause="The log-probabilities that the server gives for tokens of a few rows differ from those that the run kept"
        " by more than weights of that type explain: it serves the base, another run, or a damaged conversion.",
        wrong="vllm serve models/base   # and not the merged model",
        right="vllm serve merged/demo",
        exit_code=ExitCode.NOT_REPRODUCED,
    ),
    Code(
        id="FTC756",
        title="a gate failed with a server's answers",
        cause="The recipe's gates are checked with the server's answers to the same rows that the run would be checked "
        "on. Fewer bits, other sampling options or another end of answers change them.",
        wrong="llama-server -m demo-q4_k_m.gguf",
        right="llama-server -m demo-f16.gguf",
        exit_code=ExitCode.GATE_FAILED,
    ),
    Code(
        id="FTC757",
        title="a run without rows to compare with",
        cause="`ftc drift` compares new rows with the run's own, as the lock names them. They are tokens in ftc's "
        "cache, from which they are gone, or in which they are others by now, and what the run keeps of them in "
        "`drift.safetensors` is not there either. The finding says why, and names the data files that changed.",
        wrong="rm -r ~/.cache/ftc runs/tickets/7f3a2b*/drift.safetensors; ftc drift 7f3a2b --data new.jsonl",
        right="ftc plan tickets.yaml; ftc drift 7f3a2b --data new.jsonl",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC758",
        title="new rows of which none can be compared",
        cause="Every row of the file that `ftc drift` was given has an empty or unusable value, or is too long. The "
        "finding names the first rows with the reason.",
        wrong='{"text": ""}   # in every row',
        right='{"text": "Where is my parcel?"}',
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
