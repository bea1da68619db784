"""Codes 27x to 29x: strategies, teachers, several devices, and what they can't be combined with; 259: compiled layers;
265: the loss; 267 to 269: experts.
"""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC259",
        title="layers can't be compiled",
        cause="`train.compile` compiles each layer of one model on one device, for rows that are there before a step. "
        "Selective activation checkpointing keeps the results of single operators, which compiled code doesn't have. "
        "An adapter of experts (`target_parameters`) changes their class in each pass.",
        wrong="train: {compile: true, activation_checkpointing: selective}",
        right="train: {compile: true}",
    ),
    Code(
        id="FTC265",
        title="loss that can't be chunked",
        cause="Chunks of the loss are for logits over a vocabulary. A new output layer has only a few classes, and of "
        "an unknown model type ftc doesn't know what happens to the logits before the loss.",
        wrong="task: {kind: classification}\ntrain: {loss_chunk_size: 1024}",
        right="task: {kind: classification}",
    ),
    Code(
        id="FTC267",
        title="no router, or no loss of one",
        cause="`train.router_aux_loss` and `train.train_router` are for a mixture of experts, whose layers send each "
        "token to a few experts. The model has no such layers, transformers has no load balancing loss for it, "
        "or the task compares all rows of a step, in which the loss of routers has no part.",
        wrong="model: {base: ./models/llama}\ntrain: {router_aux_loss: 0.001}",
        right="model: {base: ./models/llama}",
    ),
    Code(
        id="FTC268",
        title="experts that can't be quantized",
        cause="transformers holds all experts of a layer in one tensor, and bitsandbytes packs only linear layers. The "
        "experts, which are nearly all of the model, would stay as large as they are; the finding says how many bytes "
        "that is, and how few would be saved. Files in FP8, MXFP4 or compressed-tensors take no less memory, since "
        "loading dequantizes them, and experts in GPTQ or AWQ aren't loaded. What trains a mixture in the least "
        "memory is `kind: lora`, on attention alone or with `target_parameters` on experts, too.",
        wrong="model: {base: ./models/mixtral}\nstrategy: {kind: qlora}",
        right="model: {base: ./models/mixtral}\nstrategy: {kind: lora, target_parameters: all-experts}",
    ),
    Code(
        id="FTC269",
        title="router beside an adapter",
        cause="`train.train_router` is for strategies that train the model's own weights. An adapter leaves these as "
        "they are, but for modules that `strategy.modules_to_save` names.",
        wrong="strategy: {kind: lora}\ntrain: {train_router: true}",
        right="strategy: {kind: lora, modules_to_save: [gate]}",
    ),
    Code(
        id="FTC270",
        title="options that exclude each other",
        cause="Two options of the strategy exclude each other: one changes weights that the other stores in a form "
        "that can't be changed, or one has no meaning together with the other. An adapter of experts "
        "(`target_parameters`) is added to their weights: it has no input that could be dropped. Or "
        "`train.activation_checkpointing` is asked for, and the model's class in transformers can't compute layers "
        "again.",
        wrong="strategy: {kind: qlora, init: pissa}",
        right="strategy: {kind: lora, init: pissa}",
    ),
    Code(
        id="FTC271",
        title="module can't be fully trained",
        cause="`modules_to_save` names a module that the model doesn't store, that shares its weights with another "
        "module, that has an adapter, or that is quantized.",
        wrong="strategy: {kind: lora, modules_to_save: [embed_tokens]}   # a model with tied embeddings",
        right="strategy: {kind: lora, modules_to_save: [norm]}",
    ),
    Code(
        id="FTC272",
        title="nothing to train",
        cause="The model has none of the modules that the strategy trains: no biases, no layers with a known name, "
        "or fewer layers than requested.",
        wrong="strategy: {kind: bitfit}   # with a Llama, which has no biases",
        right="strategy: {kind: ln_tuning}",
    ),
    Code(
        id="FTC273",
        title="no room for virtual tokens",
        cause="Virtual tokens take up positions before every row. Together with the longest row they exceed the "
        "model's number of positions.",
        wrong="data: {max_length: 512}   # of 512 positions\nstrategy: {kind: prompt_tuning, virtual_tokens: 20}",
        right="data: {max_length: 492}\nstrategy: {kind: prompt_tuning, virtual_tokens: 20}",
    ),
    Code(
        id="FTC274",
        title="strategy does not support this kind of model",
        cause="The strategy needs a part that the task's model doesn't have, such as the KV cache, which only "
        "generative models use, or for which it has no form, such as a cache of latents (DeepSeek).",
        wrong="task: {kind: classification}\nstrategy: {kind: prefix_tuning}",
        right="task: {kind: classification}\nstrategy: {kind: prompt_tuning}",
    ),
    Code(
        id="FTC275",
        title="optimizer needs a GPU",
        cause="Paged optimizers let the CUDA driver move their state between GPU memory and host RAM. Without a GPU "
        "they have no effect.",
        wrong="train: {optimizer: {kind: adamw_8bit_paged}}\nbudget: {device: cpu}",
        right="train: {optimizer: {kind: adamw_8bit}}\nbudget: {device: cpu}",
    ),
    Code(
        id="FTC277",
        title="schedule or average with a schedule-free optimizer",
        cause="A schedule-free optimizer averages the weights of all steps instead of decaying the learning rate. "
        "With a decaying rate, later steps would count less and less. Nor does another average (`train.ema_decay`, "
        "`average_checkpoints`) go with it, which would average the weights once more.",
        wrong="train: {optimizer: {kind: adamw_schedule_free}, schedule: {kind: cosine}}",
        right="train: {optimizer: {kind: adamw_schedule_free}}",
    ),
    Code(
        id="FTC276",
        title="label smoothing not available",
        cause="Label smoothing moves part of the probability of the right class to all classes. Multi-label, "
        "extractive question answering and preference tasks have no single distribution to smooth.",
        wrong="task: {kind: preference}\ntrain: {label_smoothing: 0.1}",
        right="task: {kind: preference}\ntrain: {label_smoothing: 0}",
    ),
    Code(
        id="FTC278",
        title="z-loss without a vocabulary",
        cause="`train.z_loss` keeps the scores of the vocabulary small for each token that is learned. A new head has "
        "no vocabulary, and a preference or reinforcement task has losses of whole answers, or of what was sampled.",
        wrong="task: {kind: preference}\ntrain: {z_loss: 1e-4}",
        right="task: {kind: chat}\ntrain: {z_loss: 1e-4}",
    ),
    Code(
        id="FTC279",
        title="model can't fill in masked words",
        cause="Masked language modeling needs a mask token in the tokenizer, and the layers behind an encoder that "
        "score words in its place. Decoders have neither, and encoders that were saved without their head lack the "
        "layers: new ones would have to be learned from scratch.",
        wrong="task: {kind: masked_language_modeling}\nmodel: {base: sentence-transformers/all-MiniLM-L6-v2}",
        right="task: {kind: masked_language_modeling}\nmodel: {base: distilbert/distilbert-base-uncased}",
    ),
    Code(
        id="FTC229",
        title="mean of checkpoints that can't be formed",
        cause="`train.average_checkpoints` makes the mean of the run's last checkpoints the result. Which these are is "
        "known before the run: it writes as many, nothing ends it early, and no other average is its result.",
        wrong="task: {kind: chat}\ntrain: {average_checkpoints: 5, early_stopping: {patience: 2}}",
        right="task: {kind: chat}\ntrain: {average_checkpoints: 5, evaluate_every: 50}",
    ),
    Code(
        id="FTC280",
        title="distillation not available for this task",
        cause="A teacher gives a probability to each possible token or class. A preference task has no such "
        "distribution: its loss compares two whole answers with the reference model. With `on_policy` the model "
        "also has to answer the rows' prompts itself, and with `seq_kd` the teacher.",
        wrong="task: {kind: preference}\ntrain: {distillation: {teacher: ./models/teacher}}",
        right="task: {kind: chat}\ntrain: {distillation: {teacher: ./models/teacher}}",
    ),
    Code(
        id="FTC281",
        title="a teacher with another tokenizer",
        cause="The teacher and the base model must use the same token ids. If an id means something else to the "
        "teacher, both learn the wrong thing, and no metric shows it.",
        wrong="model: {base: HuggingFaceTB/SmolLM2-135M}\ntrain: {distillation: {teacher: Qwen/Qwen2.5-0.5B}}",
        right="model: {base: HuggingFaceTB/SmolLM2-135M}\ntrain: {distillation: {teacher: HuggingFaceTB/SmolLM2-1.7B}}",
    ),
    Code(
        id="FTC282",
        title="teacher without this task's head or labels",
        cause="The teacher needs a trained head for this task, and the task's labels in `id2label` of its "
        "config.json, in any order. A head that is not stored would be randomly initialized.",
        wrong="task: {kind: classification, labels: [ham, spam]}\n"
        "train: {distillation: {teacher: models/untuned-encoder}}",
        right="task: {kind: classification, labels: [ham, spam]}\n"
        "train: {distillation: {teacher: runs/teacher/0a1b2c3d4e5f/model}}",
    ),
    Code(
        id="FTC283",
        title="teacher is the base model",
        cause="A model that learns from its own starting weights only stays close to them. This can help against "
        "forgetting, but teaches nothing new.",
        wrong="model: {base: models/small}\ntrain: {distillation: {teacher: models/small}}",
        right="model: {base: models/small}\ntrain: {distillation: {teacher: models/large}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC284",
        title="rows that are too long for the teacher",
        cause="The teacher reads each row as a whole. The longest row has more tokens than the teacher has positions.",
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
        id="FTC287",
        title="a focal loss without labels",
        cause="`train.focal_gamma` weighs the loss of each label by how sure the model is of it. That takes labels "
        "that a head decides on. It can't be used together with `label_smoothing`, which spreads the target over all "
        "labels.",
        wrong="task: {kind: chat}\ntrain: {focal_gamma: 2}",
        right="task: {kind: classification}\ntrain: {focal_gamma: 2}",
    ),
    Code(
        id="FTC290",
        title="sharding or offload without effect",
        cause="`train.sharding` says what each of several devices holds, and `train.offload` where the shards of "
        "`fsdp` and `hsdp` are kept. With one device, or with `ddp`, they have no effect. `hsdp` shards the model "
        "inside a machine and holds a copy on each, which takes several machines with several devices each.",
        wrong="train: {sharding: fsdp}",
        right="train: {sharding: fsdp}\nbudget: {devices: 2}",
    ),
    Code(
        id="FTC291",
        title="sharding not supported",
        cause="torch's `fully_shard` shards every weight, gradient and optimizer state. It does not support "
        "quantized weights, weights outside the model's forward pass, optimizers that need whole matrices, or adapters "
        "of experts.",
        wrong="strategy: {kind: qlora}\ntrain: {sharding: fsdp}\nbudget: {devices: 2}",
        right="strategy: {kind: lora}\ntrain: {sharding: fsdp}\nbudget: {devices: 2}",
    ),
    Code(
        id="FTC292",
        title="more devices than rows per step",
        cause="Devices share the rows of each step. A device without a row would wait, and the per-device batch size "
        "(`micro_batch`) can't be larger than one device's share.",
        wrong="train: {batch_size: 2}\nbudget: {devices: 4}",
        right="train: {batch_size: 8}\nbudget: {devices: 4}",
    ),
    Code(
        id="FTC293",
        title="more devices than this machine has",
        cause="The plan needs more devices of a kind than this machine has. Apply it on a machine with enough of them.",
        wrong="budget: {device: auto, devices: 4}   # on a machine with two GPUs",
        right="budget: {device: auto, devices: 2}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC294",
        title="not enough host RAM",
        cause="One process loads the model into host RAM before it is sharded, and `offload: cpu` keeps shards, "
        "gradients and optimizer state there. `save_in_background` keeps a copy of a checkpoint there.",
        wrong="train: {sharding: fsdp, offload: cpu}\nbudget: {devices: 2}   # 8B weights and more, in 64 GiB",
        right="train: {sharding: fsdp}\nbudget: {devices: 8}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC295",
        title="number of devices is unknown",
        cause="`devices: auto` chooses among the GPUs of this machine. The recipe names or describes a GPU that is "
        "not in this machine, so ftc can't know how many there will be.",
        wrong="budget: {device: h100-80gb, devices: auto}   # on a laptop",
        right="budget: {device: h100-80gb, devices: 8}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
)
