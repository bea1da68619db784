"""Codes 66x, merging an adapter into its base model."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC660",
        title="a run that can't be merged yet",
        cause="`ftc merge` adds the adapter that a finished run left to the base model that the run's lock names, and "
        "compares what comes out on rows of the run. One of these isn't here.",
        wrong="ftc merge 7f3a2b -o merged/demo   # interrupted at step 40",
        right="ftc apply recipe.yaml && ftc merge 7f3a2b -o merged/demo",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC661",
        title="an adapter that has no place in the weights",
        cause="Merging adds an adapter to weights that the base model has. Virtual tokens stand before the row, and "
        "bottleneck adapters are layers of their own with a bend in the middle: no weight of the base says the same.",
        wrong="strategy: {kind: prompt_tuning}   # and then ftc merge RUN",
        right="strategy: {kind: lora}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC662",
        title="nothing to merge",
        cause="Full, partial and bias tuning change the base model's own weights. What such a run leaves is a whole "
        "model, which is loaded, served and learned from as it is.",
        wrong="ftc merge RUN -o merged/demo   # strategy: {kind: full}",
        right="model: {base: runs/demo/7f3a2b/model}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC663",
        title="no room for the merged model",
        cause="Before anything is loaded, the size of the merged model is held against what is free on the disk, and "
        "what merging takes against the memory that is free.",
        wrong="ftc merge RUN -o merged/demo --dtype float32",
        right="ftc merge RUN -o merged/demo --dtype bfloat16",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC664",
        title="the merged model says something else",
        cause="What was written is loaded once more and asked the same rows as the base with its adapter. It differs "
        "by more than rounding can explain, so it is not kept. In 16 bits an update can be too small for the weight "
        "that it is added to.",
        wrong="ftc merge RUN -o merged/demo --dtype float16",
        right="ftc merge RUN -o merged/demo --dtype float32",
        exit_code=ExitCode.NOT_REPRODUCED,
    ),
    Code(
        id="FTC665",
        title="a configuration that would mean two models",
        cause="`config.json` of a model that is written keeps every key of the base's own, so that transformers 4 and "
        "the tools that are built on it read the same model as transformers 5. Some of the base's keys contradict "
        "each other, or what the trained model has; each library would read another model.",
        wrong='{"rope_theta": 10000.0, "rope_parameters": {"rope_theta": 100000.0}}',
        right='{"rope_theta": 100000.0, "rope_parameters": {"rope_theta": 100000.0}}',
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
