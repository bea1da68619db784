"""Codes 2xx, values that can't stand together."""

from ftc.spec.codes._code import Code, Severity

CODES: tuple[Code, ...] = (
    Code(
        id="FTC201",
        title="field is no part of the task",
        cause="`data.fields` says which column plays which part in the task; the task has no such part.",
        wrong="task: {kind: chat}\ndata: {fields: {text: message}}",
        right="task: {kind: chat}\ndata: {fields: {messages: conversation}}",
    ),
    Code(
        id="FTC202",
        title="two prompts",
        cause="The prompt comes either from a template in `task.prompt` or from a column.",
        wrong="task: {kind: generation, prompt: 'Q: {{ question }}'}\ndata: {fields: {prompt: question}}",
        right="task: {kind: generation, prompt: 'Q: {{ question }}'}",
    ),
    Code(
        id="FTC203",
        title="no rows left for training",
        cause="The shares for validation and test use up all rows.",
        wrong="data: {split: {validation: 0.5, test: 0.5}}",
        right="data: {split: {validation: 0.1, test: 0.1}}",
    ),
    Code(
        id="FTC204",
        title="early stopping without validation",
        cause="Early stopping compares validation results; without a validation split it could never stop.",
        wrong="data: {split: {validation: 0}}\ntrain: {early_stopping: {patience: 2}}",
        right="data: {split: {validation: 0.1}}\ntrain: {early_stopping: {patience: 2}}",
    ),
    Code(
        id="FTC205",
        title="metric that validation does not compute",
        cause="During training only the loss, and for a classification accuracy and macro F1, are computed on the "
        "validation split; their names begin with `val_`.",
        wrong="train: {early_stopping: {metric: rouge_l}}",
        right="train: {early_stopping: {metric: val_loss}}",
    ),
    Code(
        id="FTC206",
        title="metric does not fit the task",
        cause="A metric is unknown, or is defined for another kind of task.",
        wrong="task: {kind: classification}\neval: {metrics: [rouge_l]}",
        right="task: {kind: classification}\neval: {metrics: [accuracy]}",
    ),
    Code(
        id="FTC207",
        title="gate can't be read",
        cause="A gate is a metric of the task and a bound, such as `>= 0.9`.",
        wrong="eval: {gates: {accuracy: 0.9 or more}}",
        right='eval: {gates: {accuracy: ">= 0.9"}}',
    ),
    Code(
        id="FTC208",
        title="gates without test data",
        cause="Gates are checked on the test split at the end of the run; there is none.",
        wrong='data: {split: {test: 0}}\neval: {gates: {accuracy: ">= 0.9"}}',
        right='data: {split: {test: 0.1}}\neval: {gates: {accuracy: ">= 0.9"}}',
    ),
    Code(
        id="FTC209",
        title="cost limit without a price",
        cause="What a run costs is its time multiplied by the price that the recipe gives, in the same currency.",
        wrong="budget: {cost: 5 USD}",
        right="budget: {cost: 5 USD, price_per_hour: 0.40 USD}",
    ),
    Code(
        id="FTC210",
        title="micro-batch larger than the batch",
        cause="A micro-batch is the part of a batch that goes through the model at once.",
        wrong="train: {batch_size: 8, micro_batch: 16}",
        right="train: {batch_size: 16, micro_batch: 8}",
    ),
    Code(
        id="FTC211",
        title="unusual learning rate",
        cause="The learning rate lies far outside what this strategy is usually trained with; often the exponent is "
        "wrong.",
        wrong="strategy: {kind: full}\ntrain: {learning_rate: 2e-2}",
        right="strategy: {kind: full}\ntrain: {learning_rate: 2e-5}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC212",
        title="nothing to stratify",
        cause="`stratify` keeps proportions when rows are divided by share; here no part is a share.",
        wrong="data: {split: {validation: 0, test: 0, stratify: label}}",
        right="data: {split: {validation: 0.1, test: 0.1, stratify: label}}",
    ),
    Code(
        id="FTC213",
        title="target twice",
        cause="The same module stands twice in the list of targets.",
        wrong="strategy: {kind: lora, targets: [q_proj, q_proj]}",
        right="strategy: {kind: lora, targets: [q_proj, v_proj]}",
    ),
    Code(
        id="FTC220",
        title="chat without a chat template",
        cause="A chat is written into tokens by the model's chat template; a base model has none.",
    ),
    Code(
        id="FTC221",
        title="sequence longer than the model reads",
        cause="The model's positions end before `data.max_length`; what lies beyond could not be told apart.",
        wrong="data: {max_length: 4096}  # a model of 512 positions",
        right="data: {max_length: 512}",
    ),
    Code(
        id="FTC222",
        title="task does not fit the model",
        cause="Writing text needs a decoder; an encoder only reads.",
        wrong="task: {kind: generation}\nmodel: {base: models/bert}",
        right="task: {kind: classification}\nmodel: {base: models/bert}",
    ),
    Code(
        id="FTC223",
        title="attention kernel does not fit the device",
        cause="The kernel exists only for CUDA cards.",
        wrong="model: {attention: flash_attention_2}\nbudget: {device: cpu}",
        right="model: {attention: sdpa}\nbudget: {device: cpu}",
    ),
    Code(
        id="FTC224",
        title="no such target module",
        cause="An adapter's target is none of the model's linear modules, so nothing would be adapted there.",
        wrong="strategy: {kind: lora, targets: [q_prj]}",
        right="strategy: {kind: lora, targets: [q_proj]}",
    ),
    Code(
        id="FTC225",
        title="4-bit weights on a CPU",
        cause="4-bit weights save memory on a card; a CPU unpacks them for every product and gains nothing.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC226",
        title="precision does not fit the device",
        cause="The device has no fast bfloat16 arithmetic; a run would take many times longer or fail.",
        wrong="train: {precision: bfloat16}  # on an older card or CPU",
        right="train: {precision: float32}",
    ),
    Code(
        id="FTC260",
        title="divisions that exclude each other",
        cause="Rows are divided by size, by time or by hash. A division by time keeps no proportions and no groups, "
        "and one by hash keeps no proportions, since each row's part follows from that row alone.",
        wrong="data: {split: {time: date, stratify: label}}",
        right="data: {split: {time: date}}",
    ),
)
