"""Codes 254 to 256: the base model with a prompt, beside the tuned one."""

from ftc.spec.codes._code import Code, Severity

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC254",
        title="prompt baseline that can't be measured",
        cause="`eval.baselines` gives the untouched base model a prompt and measures what it writes, or in a chat how "
        "likely the answers are behind other conversations. That needs a task whose answers follow a prompt or a turn, "
        "the base's own evaluation, test rows, and room for the examples within the longest sequence. A base under a "
        "new head is prompted by a recipe of its own, with `task.mode: generative`; an encoder can't be, and tools "
        "that an example calls would have to be those of the row.",
        wrong="task: {kind: classification}\neval: {baselines: [few_shot: 4]}",
        right="task: {kind: classification, mode: generative}\neval: {baselines: [few_shot: 4]}",
    ),
    Code(
        id="FTC255",
        title="test rows cut for a prompt baseline",
        cause="With its examples a prompt is longer than the recipe's own, so that some test rows are cut which the "
        "tuned model sees whole. The baseline scores lower than it could, which favors tuning.",
        wrong="task: {kind: generation, prompt: '{{ text }}'}\ndata: {max_length: 128}\n"
        "eval: {baselines: [few_shot: 8]}",
        right="task: {kind: generation, prompt: '{{ text }}'}\ndata: {max_length: 512}\n"
        "eval: {baselines: [few_shot: 8]}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC256",
        title="not better than a prompt",
        cause="The untouched base model with a prompt scores as high on the test rows as the tuned model, or the rows "
        "can't tell the two apart: the interval of their difference includes 0. A prompt costs no training, but its "
        "tokens are read again with each request.",
        wrong="train: {max_steps: 20}",
        right="train: {epochs: 3}",
        severity=Severity.WARNING,
    ),
)
