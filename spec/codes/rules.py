"""Codes 2xx, values that can't stand together."""

from ftc.spec.codes._code import Code, Severity

CODES: tuple[Code, ...] = (
    Code(
        id="FTC201",
        title="field is not part of the task",
        cause="`data.fields` maps the fields of the task to columns. This task has no such field.",
        wrong="task: {kind: chat}\ndata: {fields: {text: message}}",
        right="task: {kind: chat}\ndata: {fields: {messages: conversation}}",
    ),
    Code(
        id="FTC202",
        title="two prompts",
        cause="Take the prompt from a template in `task.prompt` or from a column, not from both.",
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
        title="validation split is required",
        cause="Early stopping and the `plateau` schedule use validation results; without a validation split they "
        "could never act.",
        wrong="data: {split: {validation: 0}}\ntrain: {early_stopping: {patience: 2}}",
        right="data: {split: {validation: 0.1}}\ntrain: {early_stopping: {patience: 2}}",
    ),
    Code(
        id="FTC205",
        title="metric not available during validation",
        cause="Validation computes only metrics that need no generated answers, such as the loss, or accuracy for "
        "classification; their names begin with `val_`. Early stopping can use the loss, or a metric where "
        "higher is better.",
        wrong="train: {early_stopping: {metric: rouge_l}}",
        right="train: {early_stopping: {metric: val_loss}}",
    ),
    Code(
        id="FTC206",
        title="metric does not fit the task",
        cause="The metric is unknown, or it is defined for another kind of task.",
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
        cause="Gates are checked on the test split at the end of the run, but this recipe has no test split.",
        wrong='data: {split: {test: 0}}\neval: {gates: {accuracy: ">= 0.9"}}',
        right='data: {split: {test: 0.1}}\neval: {gates: {accuracy: ">= 0.9"}}',
    ),
    Code(
        id="FTC209",
        title="cost limit without a matching price",
        cause="The cost of a run is its time multiplied by the device's price (from the recipe or the project's "
        "policy), plus the judge's tokens multiplied by their price. All prices must use one currency. A token "
        "price applies only to a judge, in `eval.judge` or in a reward: nothing else sends tokens to a service.",
        wrong="budget: {cost: 5 USD}",
        right="budget: {cost: 5 USD, price_per_hour: 0.40 USD}",
    ),
    Code(
        id="FTC210",
        title="per-device batch size larger than the batch size",
        cause=(
            "`micro_batch` is the per-device batch size: the rows that go through the model at once. It can't be "
            "larger than `batch_size`."
        ),
        wrong="train: {batch_size: 8, micro_batch: 16}",
        right="train: {batch_size: 16, micro_batch: 8}",
    ),
    Code(
        id="FTC211",
        title="unusual learning rate",
        cause="The learning rate is far outside the usual range of this strategy. Often the exponent is wrong.",
        wrong="strategy: {kind: full}\ntrain: {learning_rate: 2e-2}",
        right="strategy: {kind: full}\ntrain: {learning_rate: 2e-5}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC212",
        title="nothing to stratify",
        cause=(
            "`stratify` keeps the class proportions when rows are split by share. No part of this split is a share."
        ),
        wrong="data: {split: {validation: 0, test: 0, stratify: label}}",
        right="data: {split: {validation: 0.1, test: 0.1, stratify: label}}",
    ),
    Code(
        id="FTC213",
        title="duplicate target",
        cause="The list of targets names the same module twice.",
        wrong="strategy: {kind: lora, targets: [q_proj, q_proj]}",
        right="strategy: {kind: lora, targets: [q_proj, v_proj]}",
    ),
    Code(
        id="FTC214",
        title="batch size is not divisible",
        cause="The batch size is not a multiple of the per-device batch size (`micro_batch`). The last forward pass "
        "of each step is then smaller, but takes nearly as long as the others.",
        wrong="train: {batch_size: 16, micro_batch: 6}",
        right="train: {batch_size: 16, micro_batch: 4}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC215",
        title="evaluation interval longer than the run",
        cause="`evaluate_every` is longer than the run, so validation runs only once, at the end, and no earlier "
        "checkpoint can be chosen.",
        wrong="train: {max_steps: 100, evaluate_every: 500}",
        right="train: {max_steps: 100, evaluate_every: 25}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC216",
        title="early stopping that can't stop",
        cause="Early stopping ends a run after `patience` evaluations without improvement. This run has no more "
        "evaluations than that.",
        wrong="train: {epochs: 2, early_stopping: {patience: 2}}",
        right="train: {epochs: 10, early_stopping: {patience: 2}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC217",
        title="gate outside the metric's range",
        cause=(
            "Every result would fail this gate, or no result could. Most metrics range from 0 to 1; BLEU and chrF "
            "from 0 to 100."
        ),
        wrong='eval: {gates: {accuracy: ">= 95"}}',
        right='eval: {gates: {accuracy: ">= 0.95"}}',
    ),
    Code(
        id="FTC218",
        title="gate that a better result fails",
        cause="The gate limits the metric in the wrong direction: higher accuracy is better, lower loss is better.",
        wrong='eval: {gates: {loss: ">= 0.5"}}',
        right='eval: {gates: {loss: "<= 0.5"}}',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC219",
        title="duplicate name in a list",
        cause="The list contains a label, metric or license twice. A repeated label would give one class two outputs.",
        wrong="task: {kind: classification, labels: [spam, ham, spam]}",
        right="task: {kind: classification, labels: [spam, ham]}",
    ),
    Code(
        id="FTC220",
        title="chat without a chat template",
        cause="The model's chat template formats a conversation as tokens; this model has no chat template.",
    ),
    Code(
        id="FTC221",
        title="sequence longer than the model's context",
        cause="`data.max_length` is larger than the number of positions that the model supports.",
        wrong="data: {max_length: 4096}  # a model of 512 positions",
        right="data: {max_length: 512}",
    ),
    Code(
        id="FTC222",
        title="task does not fit the model",
        cause="Generating text needs a decoder; an encoder cannot generate. Chat, preference and pretraining tasks "
        "need a decoder-only model.",
        wrong="task: {kind: generation}\nmodel: {base: models/bert}",
        right="task: {kind: classification}\nmodel: {base: models/bert}",
    ),
    Code(
        id="FTC223",
        title="attention kernel is not available",
        cause=(
            "Flash attention needs a CUDA GPU with compute capability 8.0 or higher and a head size of at most 256. "
            "Not every model class in transformers supports every kernel."
        ),
        wrong="model: {attention: flash_attention_2}\nbudget: {device: cpu}",
        right="model: {attention: sdpa}\nbudget: {device: cpu}",
    ),
    Code(
        id="FTC224",
        title="no such target module",
        cause="No linear module or tensor of experts has the target's name, or peft's LoRA takes it for experts.",
        wrong="strategy: {kind: lora, targets: [q_prj]}",
        right="strategy: {kind: lora, targets: [q_proj]}",
    ),
    Code(
        id="FTC225",
        title="4-bit weights on a CPU",
        cause="4-bit weights save memory on a GPU. A CPU dequantizes them for every product and gains nothing.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC226",
        title="precision does not fit the device",
        cause="The GPU has no arithmetic of this precision; the run would be many times slower or fail.",
        wrong="train: {precision: bfloat16}  # on an older GPU",
        right="train: {precision: float16}",
    ),
    Code(
        id="FTC230",
        title="setting has no effect",
        cause="This setting changes nothing in this job: for example a revision of a local folder, an answer length "
        "for a task without generated answers, or a limit that no row reaches.",
        wrong="model: {base: ./models/mine, revision: main}",
        right="model: {base: ./models/mine}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC231",
        title="unusual number",
        cause="The number is allowed, but far outside the usual range. Often it is a typo.",
        wrong="train: {optimizer: {weight_decay: 0.9}}",
        right="train: {optimizer: {weight_decay: 0.01}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC232",
        title="rank as large as the layer",
        cause="An adapter of rank r has r * (inputs + outputs) parameters. From the layer's full rank on (the "
        "smaller of the two sizes), the adapter is larger than the layer and cannot learn more than full "
        "fine-tuning.",
        wrong="strategy: {kind: lora, rank: 512}  # layers of 256 by 256",
        right="strategy: {kind: lora, rank: 16}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC233",
        title="warm-up takes most of the run",
        cause="During warm-up the learning rate is below the one that the recipe sets. `warmup_ratio` is a share of "
        "the steps, rounded up.",
        wrong="train: {schedule: {warmup_ratio: 0.9}}",
        right="train: {schedule: {warmup_ratio: 0.05}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC234",
        title="batch larger than the training rows",
        cause="Each epoch is a single step with all rows, so a few epochs are only a few steps.",
        wrong="train: {batch_size: 64}  # 40 rows",
        right="train: {batch_size: 4}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC235",
        title="flash attention in float32",
        cause="The kernel supports only 16-bit precision and would fail at the first step.",
        wrong="model: {attention: flash_attention_2}\ntrain: {precision: float32}",
        right="model: {attention: flash_attention_2}\ntrain: {precision: bfloat16}",
    ),
    Code(
        id="FTC236",
        title="memory budget larger than the device",
        cause="A run that fits the budget may not fit the device. It is an error if it does not fit.",
        wrong="budget: {device: rtx-4090, vram: 80GiB}",
        right="budget: {device: rtx-4090, vram: 24GiB}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC237",
        title="gate finer than the test split",
        cause="The test split has so few rows that a single wrong answer fails the gate. The gate then measures "
        "chance.",
        wrong='eval: {gates: {accuracy: ">= 0.95"}}  # 10 test rows',
        right='eval: {gates: {accuracy: ">= 0.8"}}  # 10 test rows',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC238",
        title="license id is not lower case",
        cause="Licenses are compared by their id, in lower case. Another spelling matches nothing.",
        wrong="model: {license: {allow: [Apache-2.0]}}",
        right="model: {license: {allow: [apache-2.0]}}",
    ),
    Code(
        id="FTC239",
        title="generation limit shorter than the reference answers",
        cause="Generation stops at `eval.max_new_tokens`. Longer answers are cut off and count as wrong.",
        wrong="eval: {max_new_tokens: 8}  # answers of 40 tokens",
        right="eval: {max_new_tokens: auto}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC240",
        title="no such class",
        cause="The metric or gate names a single class, such as `f1 of sport`, but the task has no label with this "
        "name.",
        wrong='eval: {metrics: ["f1 of sprot"]}  # labels: business, sport',
        right='eval: {metrics: ["f1 of sport"]}',
    ),
    Code(
        id="FTC241",
        title="invalid slice",
        cause="Slices are groups of test rows: by a column with few values, by `length`, or by `label` if each row "
        "has one class.",
        wrong="eval: {slices: [id]}  # another value in each row",
        right="eval: {slices: [region, length]}",
    ),
    Code(
        id="FTC242",
        title="forgetting check or substitution test not possible",
        cause="The forgetting check (`eval.retention`) needs a decoder that generates text. The counterfactual "
        "substitution test (`eval.swaps`) needs a table with the columns `from` and `to`, and phrases that "
        "occur in test rows.",
        wrong="task: {kind: classification}\neval: {retention: {path: general.jsonl}}",
        right="task: {kind: chat}\neval: {retention: {path: general.jsonl}}",
    ),
    Code(
        id="FTC243",
        title="judge that can't grade",
        cause="A judge grades answers that the model generates for test rows. Its service must use `https`, except "
        "on this machine, so that nobody can intercept the key.",
        wrong="task: {kind: classification}\neval: {judge: {url: 'http://localhost:8000/v1', model: m}}",
        right="task: {kind: generation}\neval: {judge: {url: 'http://localhost:8000/v1', model: m}}",
    ),
    Code(
        id="FTC244",
        title="classifier can't be used on answers",
        cause="`eval.classifier` rates answers that the model generates for test rows. It must be a text classifier "
        "with its own head (`...ForSequenceClassification` in its config.json), and `label` must be in its "
        "`id2label`.",
        wrong="task: {kind: classification}\neval: {classifier: {base: ./models/toxicity, label: toxic}}",
        right="task: {kind: generation}\neval: {classifier: {base: ./models/toxicity, label: toxic}}",
    ),
    Code(
        id="FTC260",
        title="split options that exclude each other",
        cause="Rows are split by size, by time or by hash. A split by time can't keep proportions or groups. A split "
        "by hash can't keep proportions, because each row's part depends only on that row.",
        wrong="data: {split: {time: date, stratify: label}}",
        right="data: {split: {time: date}}",
    ),
    Code(
        id="FTC250",
        title="no head for this model type",
        cause=(
            "The task needs a new output layer, and transformers has no class with such a head for this model type."
        ),
        wrong="task: {kind: question_answering, mode: extractive}\nmodel: {base: models/llama}",
        right="task: {kind: question_answering, mode: generative}\nmodel: {base: models/llama}",
    ),
    Code(
        id="FTC251",
        title="decoder without a start token",
        cause="The decoder of an encoder-decoder model starts with the token that it was trained with. With another "
        "start token the model loses what it has learned.",
        wrong='{"model_type": "t5"}  # config.json',
        right='{"model_type": "t5", "decoder_start_token_id": 0}',
    ),
    Code(
        id="FTC252",
        title="option of the other mode",
        cause="An option of one mode, such as extractive question answering, has no effect in the other mode. Nor has "
        "a field of `data.fields` whose place columns take that `task.label_columns` or `task.scores` names.",
        wrong="task: {kind: question_answering, mode: extractive, prompt: '{{ question }}'}",
        right="task: {kind: question_answering, mode: extractive}",
    ),
    Code(
        id="FTC253",
        title="sliding window does not advance",
        cause="Neighboring windows share `stride` tokens, and each window also contains the question. The remaining "
        "tokens must be enough to move through the context.",
        wrong="task: {kind: question_answering, stride: 120}\ndata: {max_length: 128}",
        right="task: {kind: question_answering, stride: 40}\ndata: {max_length: 128}",
    ),
    Code(
        id="FTC261",
        title="rows that can't be packed",
        cause="Several rows share a sequence only in a decoder trained on the next token, without virtual tokens, "
        "and where no tokens of an image or a prompt see each other: transformers' masks would mix up the rows.",
        wrong="task: {kind: classification}\ntrain: {packing: true}",
        right="task: {kind: classification}",
    ),
    Code(
        id="FTC263",
        title="invalid weights of data sources",
        cause="Set `weight` for all sources or for none, and keep at least one source without `only_train` if there "
        "are validation or test rows.",
        wrong="data: {source: [{path: mine.jsonl, weight: 3}, {path: general.jsonl}]}",
        right="data: {source: [{path: mine.jsonl, weight: 3}, {path: general.jsonl, weight: 1}]}",
    ),
    Code(
        id="FTC264",
        title="augmentation not possible",
        cause="Augmentation changes the input text. Labels at positions in the text would no longer match, "
        "additional prompts need a generation task, and at least one kind of variation must be set.",
        wrong="data: {augment: {variants: 2}}",
        right="data: {augment: {variants: 2, characters: 0.02}}",
    ),
)
