"""Codes 39x, configurations of other tools that `ftc import` reads."""

from ftc.spec.codes._code import Code

CODES: tuple[Code, ...] = (
    Code(
        id="FTC390",
        title="unreadable configuration",
        cause="The file is no YAML or JSON that can be read safely. Anchors, merge keys and YAML 1.1 words are read; "
        "tags, several documents, and aliases that grow beyond all measure are not.",
        wrong="hooks: !!python/name:os.system",
        right="hooks: null",
    ),
    Code(
        id="FTC391",
        title="configuration of no known tool",
        cause="The keys are those of none of the tools that `ftc import` knows: Axolotl, LLaMA-Factory, torchtune, TRL "
        "and Oumi. A file that only a launcher reads, such as one for accelerate or DeepSpeed, is no recipe.",
        wrong="compute_environment: LOCAL_MACHINE",
        right="model_name_or_path: org/model\nstage: sft\nfinetuning_type: lora\ndataset: my_rows",
    ),
    Code(
        id="FTC392",
        title="no recipe comes out of it",
        cause="Something that a recipe can't do without is missing, can't be reached from here, or has no counterpart: "
        "the rows, the base model, or the method of training. A recipe that trains something else than the "
        "configuration would be worse than none.",
        wrong="base_model: org/model\nrl: dpo",
        right="base_model: org/model\nadapter: lora\ndatasets:\n  - path: rows.jsonl\n    type: chat_template",
    ),
)
