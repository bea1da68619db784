"""Codes 27x to 29x: strategies, teachers, several devices, and what they can't be combined with."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC270",
        title="a strategy with what it can't do",
        cause="Two values of the strategy exclude each other: one changes weights that the other holds in a form in "
        "which they can't be changed, or one has no meaning beside the other.",
        wrong="strategy: {kind: qlora, init: pissa}",
        right="strategy: {kind: lora, init: pissa}",
    ),
    Code(
        id="FTC271",
        title="modules that can't be trained whole",
        cause="`modules_to_save` names modules that the model doesn't store, whose weights are another's too, that "
        "hold an adapter, or that are quantized.",
        wrong="strategy: {kind: lora, modules_to_save: [embed_tokens]}   # a model with tied embeddings",
        right="strategy: {kind: lora, modules_to_save: [norm]}",
    ),
    Code(
        id="FTC272",
        title="a strategy finds nothing to train",
        cause="The model has none of the modules that the strategy changes: no biases, no layer that is known by its "
        "name, or fewer layers than asked for.",
        wrong="strategy: {kind: bitfit}   # with a Llama, which has no biases",
        right="strategy: {kind: ln_tuning}",
    ),
    Code(
        id="FTC273",
        title="no room for virtual tokens",
        cause="Virtual tokens take places of their own before every row. The longest row together with them has more "
        "tokens than the model has positions.",
        wrong="data: {max_length: 512}   # of 512 positions\nstrategy: {kind: prompt_tuning, virtual_tokens: 20}",
        right="data: {max_length: 492}\nstrategy: {kind: prompt_tuning, virtual_tokens: 20}",
    ),
    Code(
        id="FTC274",
        title="a strategy that this kind of model doesn't take",
        cause="The method needs a part that the task's model doesn't have, such as keys and values of earlier tokens, "
        "which only a model that writes keeps.",
        wrong="task: {kind: classification}\nstrategy: {kind: prefix_tuning}",
        right="task: {kind: classification}\nstrategy: {kind: prompt_tuning}",
    ),
    Code(
        id="FTC275",
        title="an optimizer that needs a card",
        cause="Paged optimizers let CUDA's driver move their memory between card and processor; without a card there "
        "is nothing to move.",
        wrong="train: {optimizer: {kind: adamw_8bit_paged}}\nbudget: {device: cpu}",
        right="train: {optimizer: {kind: adamw_8bit}}\nbudget: {device: cpu}",
    ),
    Code(
        id="FTC277",
        title="a schedule beside an optimizer that replaces it",
        cause="A schedule-free optimizer averages the weights of all steps in place of letting the learning rate fall; "
        "a rate that falls as well would weigh the last steps less and less.",
        wrong="train: {optimizer: {kind: adamw_schedule_free}, schedule: {kind: cosine}}",
        right="train: {optimizer: {kind: adamw_schedule_free}}",
    ),
    Code(
        id="FTC276",
        title="label smoothing without a choice",
        cause="Label smoothing spreads a share of the right choice over all of them. Several labels at once, places in "
        "a context and two answers beside each other have no such choice.",
        wrong="task: {kind: preference}\ntrain: {label_smoothing: 0.1}",
        right="task: {kind: preference}\ntrain: {label_smoothing: 0}",
    ),
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
    Code(
        id="FTC285",
        title="class weights without such classes",
        cause="`train.class_weights` multiplies the loss of a row by the weight of its class. That takes rows with one "
        "label each, a head that chooses among the labels, and labels of those names.",
        wrong="task: {kind: chat}\ntrain: {class_weights: balanced}",
        right="task: {kind: classification}\ntrain: {class_weights: balanced}",
    ),
    Code(
        id="FTC286",
        title="a head's learning rate without a new head",
        cause="`train.head_learning_rate` is that of a new, randomly initialized output layer. A model that writes its "
        "answers keeps its own.",
        wrong="task: {kind: chat}\ntrain: {head_learning_rate: 1e-3}",
        right="task: {kind: chat}\ntrain: {learning_rate: 2e-4}",
    ),
    Code(
        id="FTC290",
        title="nothing to share, or to move",
        cause="`train.sharding` says what each of several devices holds, and `train.offload` where the parts lie that "
        "`fsdp` makes. With one device, or with `ddp`, they would do nothing.",
        wrong="train: {sharding: fsdp}",
        right="train: {sharding: fsdp}\nbudget: {devices: 2}",
    ),
    Code(
        id="FTC291",
        title="something that can't be sharded",
        cause="torch's `fully_shard` divides every weight, gradient and moment among devices. Quantized weights, "
        "weights outside the model's own way forward, and optimizers that need whole matrices can't be divided so.",
        wrong="strategy: {kind: qlora}\ntrain: {sharding: fsdp}\nbudget: {devices: 2}",
        right="strategy: {kind: lora}\ntrain: {sharding: fsdp}\nbudget: {devices: 2}",
    ),
    Code(
        id="FTC292",
        title="more devices than rows for them",
        cause="Devices share the rows of each step. One without a row would wait, and a micro-batch can't be larger "
        "than the share of one device.",
        wrong="train: {batch_size: 2}\nbudget: {devices: 4}",
        right="train: {batch_size: 8}\nbudget: {devices: 4}",
    ),
    Code(
        id="FTC293",
        title="more devices than this machine has",
        cause="The plan is for more devices of a kind than this machine has. It can be applied where there are enough "
        "of them.",
        wrong="budget: {device: auto, devices: 4}   # on a machine with two cards",
        right="budget: {device: auto, devices: 2}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC294",
        title="too little memory on the host",
        cause="One process reads a model into the host's memory, from where it is divided among devices, and with "
        "`offload: cpu` parts, gradients and moments stay there.",
        wrong="train: {sharding: fsdp, offload: cpu}\nbudget: {devices: 2}   # 8B weights and more, in 64 GiB",
        right="train: {sharding: fsdp}\nbudget: {devices: 8}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC295",
        title="devices that can't be counted",
        cause="`devices: auto` chooses among as many cards as this machine has. Of a card that is named or described "
        "and isn't here nobody knows how many there are where the plan will be applied.",
        wrong="budget: {device: h100-80gb, devices: auto}   # on a laptop",
        right="budget: {device: h100-80gb, devices: 8}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
)
