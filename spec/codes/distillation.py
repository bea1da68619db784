"""Codes 28x, teachers and what they can't teach."""

from ftc.spec.codes._code import Code, Severity

CODES: tuple[Code, ...] = (
    Code(
        id="FTC280",
        title="a task that no teacher helps with",
        cause="A teacher gives each choice of a target a probability. A preference has no such choice: its loss "
        "compares two whole answers with what the untrained model gives them.",
        wrong="task: {kind: preference}\ntrain: {distillation: {teacher: ./models/teacher}}",
        right="task: {kind: chat}\ntrain: {distillation: {teacher: ./models/teacher}}",
    ),
    Code(
        id="FTC281",
        title="a teacher with another tokenizer",
        cause="The teacher reads the ids that the base model reads, and both give probabilities to the same tokens. "
        "An id that means something else to the teacher makes both wrong, and no number would tell.",
        wrong="model: {base: HuggingFaceTB/SmolLM2-135M}\ntrain: {distillation: {teacher: Qwen/Qwen2.5-0.5B}}",
        right="model: {base: HuggingFaceTB/SmolLM2-135M}\ntrain: {distillation: {teacher: HuggingFaceTB/SmolLM2-1.7B}}",
    ),
    Code(
        id="FTC282",
        title="a teacher that doesn't know the task",
        cause="The teacher needs the task's own head, with weights for it, and the task's labels under their names in "
        "`id2label` of its config.json; in which order is no matter. A head that is not stored would be drawn by "
        "chance.",
        wrong="task: {kind: classification, labels: [ham, spam]}\n"
        "train: {distillation: {teacher: models/untuned-encoder}}",
        right="task: {kind: classification, labels: [ham, spam]}\n"
        "train: {distillation: {teacher: runs/teacher/0a1b2c3d4e5f/model}}",
    ),
    Code(
        id="FTC283",
        title="a teacher that is the base model",
        cause="A model that learns from itself, as it was before the first step, is only held where it is. That can be "
        "wanted, against forgetting; it teaches nothing new.",
        wrong="model: {base: models/small}\ntrain: {distillation: {teacher: models/small}}",
        right="model: {base: models/small}\ntrain: {distillation: {teacher: models/large}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC284",
        title="rows that are too long for the teacher",
        cause="The teacher reads the same rows as the model, each as a whole. The longest has more tokens than the "
        "teacher has positions.",
        wrong="data: {max_length: 1024}\ntrain: {distillation: {teacher: models/of-512-positions}}",
        right="data: {max_length: 512}\ntrain: {distillation: {teacher: models/of-512-positions}}",
    ),
)
