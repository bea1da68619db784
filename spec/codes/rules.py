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
        title="nothing to watch without validation",
        cause="Early stopping and the schedule `plateau` compare validation results; without a validation split they "
        "could never act.",
        wrong="data: {split: {validation: 0}}\ntrain: {early_stopping: {patience: 2}}",
        right="data: {split: {validation: 0.1}}\ntrain: {early_stopping: {patience: 2}}",
    ),
    Code(
        id="FTC205",
        title="metric that validation does not compute",
        cause="On the validation split only what needs no written answers is computed, such as the loss, or accuracy "
        "for a classification; the names begin with `val_`. Early stopping watches the loss, or what should be high.",
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
        title="cost without a fitting price",
        cause="What a run costs is its time multiplied by the price that the recipe or the project's policy gives for "
        "the device, and a judge's tokens by theirs, all in one currency. A price for tokens is that of `eval.judge`: "
        "nothing else sends any to a service.",
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
        id="FTC214",
        title="batch leaves a rest",
        cause="A batch is cut into micro-batches; where they don't divide it, the last one is smaller, and the device "
        "works on it for nearly as long.",
        wrong="train: {batch_size: 16, micro_batch: 6}",
        right="train: {batch_size: 16, micro_batch: 4}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC215",
        title="evaluation beyond the end of the run",
        cause="`evaluate_every` is longer than the run, so that validation is looked at once, at the end, and no "
        "checkpoint can be better than the last.",
        wrong="train: {max_steps: 100, evaluate_every: 500}",
        right="train: {max_steps: 100, evaluate_every: 25}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC216",
        title="early stopping that can't stop",
        cause="Early stopping ends a run after `patience` evaluations without a gain over an earlier one. The run has "
        "no more evaluations than that.",
        wrong="train: {epochs: 2, early_stopping: {patience: 2}}",
        right="train: {epochs: 10, early_stopping: {patience: 2}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC217",
        title="gate out of the metric's range",
        cause="Every result would break the gate, or none could. Most metrics go from 0 to 1, BLEU and chrF to 100.",
        wrong='eval: {gates: {accuracy: ">= 95"}}',
        right='eval: {gates: {accuracy: ">= 0.95"}}',
    ),
    Code(
        id="FTC218",
        title="gate that a better run breaks",
        cause="The gate bounds the metric on the side where better results lie: of accuracy more is better, of loss "
        "less.",
        wrong='eval: {gates: {loss: ">= 0.5"}}',
        right='eval: {gates: {loss: "<= 0.5"}}',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC219",
        title="name twice in a list",
        cause="A label, metric or license stands twice. Two labels of one name would be two outputs of the model for "
        "one class.",
        wrong="task: {kind: classification, labels: [spam, ham, spam]}",
        right="task: {kind: classification, labels: [spam, ham]}",
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
        cause="Writing text needs a decoder; an encoder only reads. A chat, preferences and pretraining need a decoder "
        "that stands alone, without an encoder.",
        wrong="task: {kind: generation}\nmodel: {base: models/bert}",
        right="task: {kind: classification}\nmodel: {base: models/bert}",
    ),
    Code(
        id="FTC223",
        title="attention kernel is not to be had",
        cause=(
            "Flash attention exists for CUDA cards from compute capability 8.0 and for heads of up to 256 numbers, and "
            "a model's class in transformers doesn't have every kernel."
        ),
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
        id="FTC230",
        title="value without effect",
        cause="What is written changes nothing in this job: a revision of a folder, a length of answers that nobody "
        "writes, a limit that no row passes. Whoever reads the recipe would think otherwise.",
        wrong="model: {base: ./models/mine, revision: main}",
        right="model: {base: ./models/mine}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC231",
        title="unusual number",
        cause="The number is allowed, and lies far from what anybody is known to train with; most often it is a slip.",
        wrong="train: {optimizer: {weight_decay: 0.9}}",
        right="train: {optimizer: {weight_decay: 0.01}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC232",
        title="rank as large as the layer",
        cause="An adapter of rank r holds r * (inputs + outputs) numbers. From the layer's own rank on, the smaller of "
        "the two, it is larger than the layer that it spares and can learn no more than full training.",
        wrong="strategy: {kind: lora, rank: 512}  # layers of 256 by 256",
        right="strategy: {kind: lora, rank: 16}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC233",
        title="warm-up takes the run",
        cause="While the learning rate rises it is below what the recipe asks for. `warmup_ratio` is a share of the "
        "steps, rounded up.",
        wrong="train: {schedule: {warmup_ratio: 0.9}}",
        right="train: {schedule: {warmup_ratio: 0.05}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC234",
        title="batch larger than the training rows",
        cause="Each epoch is then a single step with all rows, and a few epochs are a few steps.",
        wrong="train: {batch_size: 64}  # 40 rows",
        right="train: {batch_size: 4}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC235",
        title="flash attention in float32",
        cause="The kernel computes in 16 bits alone and fails at the first step otherwise.",
        wrong="model: {attention: flash_attention_2}\ntrain: {precision: float32}",
        right="model: {attention: flash_attention_2}\ntrain: {precision: bfloat16}",
    ),
    Code(
        id="FTC236",
        title="budget of more memory than the device has",
        cause="A run that fits the budget need not fit the device. An error where it does not.",
        wrong="budget: {device: rtx-4090, vram: 80GiB}",
        right="budget: {device: rtx-4090, vram: 24GiB}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC237",
        title="gate finer than the test split",
        cause="The test split has so few rows that a single wrong answer breaks the gate, which then tells chance from "
        "chance.",
        wrong='eval: {gates: {accuracy: ">= 0.95"}}  # 10 test rows',
        right='eval: {gates: {accuracy: ">= 0.8"}}  # 10 test rows',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC238",
        title="license by another name than its id",
        cause="Licenses are compared by their id, which is written in lower case; another spelling allows nothing.",
        wrong="model: {license: {allow: [Apache-2.0]}}",
        right="model: {license: {allow: [apache-2.0]}}",
    ),
    Code(
        id="FTC239",
        title="answers shorter than the expected ones",
        cause="Generation stops at `eval.max_new_tokens`. Answers that should be longer are cut off, and count as "
        "wrong.",
        wrong="eval: {max_new_tokens: 8}  # answers of 40 tokens",
        right="eval: {max_new_tokens: auto}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC240",
        title="no such class",
        cause="A metric or a gate is about a single class, such as `f1 of sport`, and the labels have none of that "
        "name.",
        wrong='eval: {metrics: ["f1 of sprot"]}  # labels: business, sport',
        right='eval: {metrics: ["f1 of sport"]}',
    ),
    Code(
        id="FTC241",
        title="slice that can't be formed",
        cause="Slices are groups of test rows: by a column with a few values, by `length`, or by `label` where a row "
        "has one class.",
        wrong="eval: {slices: [id]}  # another value in each row",
        right="eval: {slices: [region, length]}",
    ),
    Code(
        id="FTC242",
        title="retention or swaps that can't be measured",
        cause="General text is measured with a decoder that writes, tuned and untouched. Swaps need a table with the "
        "columns `from` and `to`, and phrases that stand in test rows.",
        wrong="task: {kind: classification}\neval: {retention: {path: general.jsonl}}",
        right="task: {kind: chat}\neval: {retention: {path: general.jsonl}}",
    ),
    Code(
        id="FTC243",
        title="judge that can't grade",
        cause="A judge grades answers that a model writes to test rows. Its service is reached by `https`, except on "
        "this machine, so that nobody on the way reads the key.",
        wrong="task: {kind: classification}\neval: {judge: {url: 'http://localhost:8000/v1', model: m}}",
        right="task: {kind: generation}\neval: {judge: {url: 'http://localhost:8000/v1', model: m}}",
    ),
    Code(
        id="FTC244",
        title="classifier that can't look at answers",
        cause="A classifier looks at answers that a model writes to test rows. It is a text classifier with a head of "
        "its own (`...ForSequenceClassification` in its config.json), and the label is one of its `id2label`.",
        wrong="task: {kind: classification}\neval: {classifier: {base: ./models/toxicity, label: toxic}}",
        right="task: {kind: generation}\neval: {classifier: {base: ./models/toxicity, label: toxic}}",
    ),
    Code(
        id="FTC260",
        title="divisions that exclude each other",
        cause="Rows are divided by size, by time or by hash. A division by time keeps no proportions and no groups, "
        "and one by hash keeps no proportions, since each row's part follows from that row alone.",
        wrong="data: {split: {time: date, stratify: label}}",
        right="data: {split: {time: date}}",
    ),
    Code(
        id="FTC250",
        title="no such head for this kind of model",
        cause="The task needs a new output layer, and transformers has none of that kind for the model's type.",
        wrong="task: {kind: question_answering, mode: extractive}\nmodel: {base: models/llama}",
        right="task: {kind: question_answering, mode: generative}\nmodel: {base: models/llama}",
    ),
    Code(
        id="FTC251",
        title="decoder without a start token",
        cause="The decoder of an encoder-decoder begins with a token that the model was trained with; with another "
        "one, nothing that the model has learned would be found again.",
        wrong='{"model_type": "t5"}  # config.json',
        right='{"model_type": "t5", "decoder_start_token_id": 0}',
    ),
    Code(
        id="FTC252",
        title="option of the other way to answer",
        cause="An answer is cut out of its context or written, and a class is chosen by a head or written. What "
        "belongs to one way does nothing for the other.",
        wrong="task: {kind: question_answering, mode: extractive, prompt: '{{ question }}'}",
        right="task: {kind: question_answering, mode: extractive}",
    ),
    Code(
        id="FTC253",
        title="windows that don't move on",
        cause="Neighboring windows of a context share `stride` tokens, and each holds the question too. What is left "
        "must be enough for the windows to get through the context.",
        wrong="task: {kind: question_answering, stride: 120}\ndata: {max_length: 128}",
        right="task: {kind: question_answering, stride: 40}\ndata: {max_length: 128}",
    ),
    Code(
        id="FTC261",
        title="rows that can't be packed",
        cause="Packing puts several rows into one sequence. That takes a decoder that learns the next token: a "
        "classifier and an encoder read each row as a whole, and virtual tokens stand before the first row alone.",
        wrong="task: {kind: classification}\ntrain: {packing: true}",
        right="task: {kind: classification}",
    ),
    Code(
        id="FTC263",
        title="sources that can't be mixed so",
        cause="Several sources have weights all together or not at all, since a share without a weight means nothing; "
        "and at least one of them has to give rows to be measured, where there are any.",
        wrong="data: {source: [{path: mine.jsonl, weight: 3}, {path: general.jsonl}]}",
        right="data: {source: [{path: mine.jsonl, weight: 3}, {path: general.jsonl, weight: 1}]}",
    ),
    Code(
        id="FTC264",
        title="variants that can't be made",
        cause="Variants change the text that is read. Labels that stand at places of the text would no longer fit, "
        "further prompts need a generation, and a variant needs something that varies.",
        wrong="data: {augment: {variants: 2}}",
        right="data: {augment: {variants: 2, characters: 0.02}}",
    ),
)
