"""Codes 464 to 469: servers that write the answers which a run trains on."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

_TASK = "task: {kind: reinforcement, writer: vllm, rewards: [{kind: exact_match}]}"

CODES: tuple[Code, ...] = (
    Code(
        id="FTC464",
        title="setting that does not go with what writes the answers",
        cause="A server promises no bits: two runs get other answers, so that nothing can be proved by doing the first "
        "steps twice. Where the run itself writes, its probabilities are the trainer's own, and there is nothing to "
        "weight by importance. A server that the run starts needs memory for the model's weights at least. It holds "
        "quantized files as they are, and vLLM has products of those in 16 bits alone.",
        wrong=f"{_TASK}\ntrain: {{determinism: bitwise}}",
        right=_TASK,
    ),
    Code(
        id="FTC465",
        title="weights that a server can't take",
        cause="Before each step the server gets the current weights. vLLM and SGLang take LoRA adapters of two "
        "matrices a layer, beside the base as it is, and SGLang whole models, too; but a base in quantized files it "
        "holds as these are, without a place for whole weights. Other weights would be left out without a word, and "
        "the answers would be another model's.",
        wrong=f"{_TASK}\nstrategy: {{kind: lora, dora: true}}",
        right=f"{_TASK}\nstrategy: {{kind: lora}}",
    ),
    Code(
        id="FTC466",
        title="server of answers that does not answer",
        cause="The server can't be reached, doesn't take the weights, or fails again and again. The checkpoint is "
        "intact: start the server and apply the plan again, and the run goes on.",
        wrong="ftc apply --yes   # and no server at the address of `ftc.launch.yaml`",
        right="vllm serve models/base --enable-lora --logprobs-mode processed_logprobs &\nftc apply --yes",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC467",
        title="server's answer that can't be trained on",
        cause="Each answer has to come from the weights that the run handed over, to the prompt that was sent, with "
        "the tokens and a log-probability of each. Nothing is trained on an answer that lacks one of these. The same "
        "holds for recorded answers that a replay is to train on.",
        wrong="vllm serve models/base --max-model-len 64   # shorter than prompts with `max_new_tokens`",
        right="vllm serve models/base",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC468",
        title="server whose probabilities are not the trainer's",
        cause="Of the same weights, server and trainer give each token nearly the same probability; kernels and number "
        "types round differently. A large difference means that the server has another base model, ignores the "
        "adapter, or reports probabilities before the temperature. Of FP8 files, GPUs with FP8 units round what comes "
        "into a layer as well, which the trainer doesn't.",
        wrong="vllm serve models/base --enable-lora   # with `task.temperature: 0.7`",
        right="vllm serve models/base --enable-lora --logprobs-mode processed_logprobs",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC469",
        title="server of answers that the run can't start",
        cause="With `task.writer_memory` the run starts a server itself, on the GPU that it trains on. Its "
        "program has to be installed: `vllm` on the PATH, or what `program` names in `ftc.launch.yaml`. The memory has "
        "to hold its weights and a cache of answers. What it printed is in the run's `server.log`.",
        wrong="ftc apply --yes   # with `task.writer_memory: 24GiB`, and no `vllm` on the PATH",
        right="PATH=/opt/vllm/bin:$PATH ftc apply --yes",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
