"""Codes 6xx, the machine, the installed packages and the run itself."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

CODES: tuple[Code, ...] = (
    Code(
        id="FTC600",
        title="unknown device",
        cause="`budget.device` is `auto`, `cpu`, a GPU of `ftc device list`, or one described by its figures.",
        wrong="budget: {device: rtx-4900}",
        right="budget: {device: rtx-4090}",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC601",
        title="ftc isn't installed as a package",
        cause="The list of packages that a run imports comes from ftc's own package data, which isn't there when the "
        "sources are only on the import path.",
        wrong="PYTHONPATH=src python -m ftc plan",
        right="pip install -e . && ftc plan",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC602",
        title="the device could not be measured",
        cause="`ftc device calibrate` takes small training steps in a process of its own, which needs the training "
        "packages. The notes say how that process ended.",
        wrong="pip install ftc && ftc device calibrate",
        right="pip install 'ftc[train]' && ftc device calibrate",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC603",
        title="no recipe in this folder",
        cause="A verb that is given no recipe takes `recipe.yaml` of the working folder, or its only recipe: a YAML "
        "file with `ftc:` at the top level that no other one extends.",
        wrong="cd data && ftc plan",
        right="ftc plan recipes/tickets.yaml",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC604",
        title="several recipes in this folder",
        cause="A verb that is given no recipe takes `recipe.yaml` of the working folder, or its only recipe. Of "
        "several with other names ftc takes none, since training the wrong one costs hours.",
        wrong="ls *.yaml && ftc apply   # chat.yaml tickets.yaml",
        right="ftc apply tickets.yaml",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC605",
        title="`--set` changes recipes only",
        cause="`ftc diff --set` compares what there is with a variation of a recipe. A saved plan, a lock and a run "
        "are what they are.",
        wrong="ftc diff tickets.yaml tickets.plan.json --set train.epochs=5",
        right="ftc diff tickets.plan.json tickets.yaml --set train.epochs=5",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC620",
        title="a model file isn't the plan's",
        cause="Every file that loading reads is hashed before the first step. A file that is missing or has other "
        "bytes than the plan's lock would give another model under the same name.",
        wrong="ftc plan -o job.plan.json && cp other.safetensors models/base/ && ftc apply job.plan.json",
        right="ftc plan -o job.plan.json && ftc apply job.plan.json",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC621",
        title="a token stream isn't the plan's",
        cause="The rows are trained on as the plan compiled them. A stream that is missing or has another digest comes "
        "from another plan or from a damaged cache.",
        wrong="ftc apply job.plan.json   # after the cache was emptied",
        right="ftc plan recipe.yaml -o job.plan.json && ftc apply job.plan.json",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC622",
        title="installed packages differ from the lock",
        cause="Another version of a package that computes can change a result, so a run starts only with the ones that "
        "the plan was made with.",
        wrong="pip install -U transformers && ftc apply job.plan.json",
        right="ftc plan recipe.yaml -o job.plan.json && ftc apply job.plan.json",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC623",
        title="the device isn't the plan's",
        cause="Memory, precision and kernels were chosen for the device that the plan names.",
        wrong="budget: {device: rtx-4090}   # applied on a machine without a card",
        right="budget: {device: auto}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC624",
        title="the number of processes isn't the plan's",
        cause="Launchers fall back to one process in silence, and then each step sees other rows than the plan says.",
        wrong="torchrun --nproc-per-node 4 -m ftc apply job.plan.json --yes   # a plan for two devices",
        right="ftc apply job.plan.json   # starts two processes itself",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC625",
        title="an adapter reaches other modules than planned",
        cause="The number of adapted modules decides about memory and about what is learned; it is compared with the "
        "plan when the adapter is made.",
        wrong="strategy: {kind: lora, targets: [dense]}   # with a version of transformers that renamed modules",
        right="strategy: {kind: lora, targets: all-linear}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC626",
        title="a loss or gradient is not a number",
        cause="A step with a NaN or an infinity would destroy the weights, so the run stops before it. The last "
        "checkpoint is intact.",
        wrong="train: {learning_rate: 5}",
        right="train: {learning_rate: 2e-4}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC627",
        title="another process works on this run",
        cause="Two processes in one folder would overwrite each other's checkpoints.",
        wrong="ftc apply job.plan.json & ftc apply job.plan.json",
        right="ftc apply job.plan.json",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC628",
        title="the folder holds something else than this run",
        cause="A run writes only to a folder that is new, empty or its own, so that nothing else can be lost.",
        wrong="mkdir runs/demo/7f3a2b && cp notes.txt runs/demo/7f3a2b",
        right="mv runs/demo/7f3a2b elsewhere",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC629",
        title="a checkpoint is damaged",
        cause="A checkpoint counts only when every file has the size and digest of its manifest. A damaged one is left "
        "aside, and the one before it is used.",
        wrong="truncate -s 100 runs/demo/7f3a2b/checkpoints/step-00000120/trainable.safetensors",
        right="ftc apply job.plan.json   # goes on from the checkpoint before",
        severity=Severity.WARNING,
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC630",
        title="saved weights aren't those of the record",
        cause="The measurement loads what the run saved. Other bytes than the record's would be measured under its "
        "name.",
        wrong="cp other.safetensors runs/demo/7f3a2b/adapter/adapter_model.safetensors",
        right="ftc apply job.plan.json   # writes the weights anew from the checkpoint",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC631",
        title="the disk can't hold the run",
        cause="A run that fills the disk would stop in the middle of a checkpoint.",
        wrong="train: {keep_checkpoints: 50}",
        right="train: {keep_checkpoints: 2}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC633",
        title="the device's memory ran out",
        cause="The job needed more memory than the device had left. The last checkpoint is intact.",
        wrong="train: {batch_size: 64, micro_batch: 64}",
        right="train: {batch_size: 64, micro_batch: 8}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC634",
        title="the base model's folder holds an adapter",
        cause="Loading would add weights to the base model that no plan mentions.",
        wrong="models/base/{config.json,model.safetensors,adapter_config.json,adapter_model.safetensors}",
        right="models/base/{config.json,model.safetensors}",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC635",
        title="the model can't be loaded",
        cause="The files are those of the plan, and the installed transformers can't make a model of them.",
        wrong="model: {base: models/from-the-future}",
        right="model: {base: models/known-architecture}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC636",
        title="WordNet isn't the plan's",
        cause="METEOR takes synonyms from WordNet, whose files the lock pins by their digest. Other files under the "
        "same name could give other scores.",
        wrong="ftc plan -o job.plan.json && rm -r ~/nltk_data/corpora/wordnet && ftc apply job.plan.json",
        right="ftc plan -o job.plan.json && ftc apply job.plan.json",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC640",
        title="kernels that aren't known to be exact",
        cause="`determinism: bitwise` uses only what is known to give the same bits in every process. What the tests "
        "of ftc or the makers of a library don't vouch for is refused when the plan is made, before any step.",
        wrong="train: {determinism: bitwise}   # with strategy: {kind: qlora} on a card",
        right="train: {determinism: best_effort}",
    ),
    Code(
        id="FTC641",
        title="the environment was not set before Python started",
        cause="Hash seeds, thread pools and workspaces of the card are read once, at the start. `ftc apply` starts "
        "itself anew where they are wrong; a program that calls `ftc.apply` has to be started with them.",
        wrong="python train.py   # a bitwise plan, with ftc.apply",
        right="ftc apply job.plan.json",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC642",
        title="the same steps gave other bits",
        cause="The plan asks for bitwise runs, and its first steps, done twice in fresh processes on this machine, "
        "differ. No step of the run was kept.",
        wrong="train: {determinism: bitwise}",
        right="train: {determinism: best_effort}",
        exit_code=ExitCode.NOT_REPRODUCED,
    ),
    Code(
        id="FTC643",
        title="less determinism than asked for",
        cause="With `determinism: best_effort` a kernel that isn't known to be exact, or a proof that failed, doesn't "
        "stop the run. The record holds what was shown.",
        wrong="train: {determinism: best_effort}   # with 4-bit weights on a card",
        right="train: {determinism: auto}",
        severity=Severity.WARNING,
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC644",
        title="a process of the run is lost",
        cause="A run of several processes needs all of them for every step. One has died, was stopped, or its machine "
        "doesn't answer; the others end instead of waiting.",
        wrong="kill -9 PID   # of one of two processes",
        right="ftc apply job.plan.json   # goes on from the last checkpoint",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC645",
        title="code changed during the run",
        cause="A digest of ftc's own files and the project's commit are noted before the first step and looked at "
        "again after the last. Modules that were loaded in between may be those of another version.",
        wrong="ftc apply job.plan.json & git pull",
        right="ftc apply job.plan.json && git pull",
        severity=Severity.WARNING,
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC262",
        title="packed rows see each other",
        cause="Before the first step the losses of rows in one packed sequence are compared with their losses alone. "
        "They differ, so the model mixes rows and would learn from text that is not theirs.",
        wrong="train: {packing: true}",
        right="train: {packing: false}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC646",
        title="a step has nothing to learn from",
        cause="Every token of the step's rows is masked, so there is no loss. The step is counted and changes no "
        "weight. Rows that are cut before their answer begins are the usual cause.",
        wrong="data: {max_length: 8}",
        right="data: {max_length: 512}",
        severity=Severity.WARNING,
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC647",
        title="the disk refused to take the run",
        cause="A write failed because the disk is full, a quota or a limit on file sizes is reached, or the disk is "
        "broken. What was written half is gone, and older checkpoints are intact.",
        wrong="train: {keep_checkpoints: 50}",
        right="train: {keep_checkpoints: 2}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC648",
        title="the run's folder can't be written to",
        cause="A run writes below `runs/` of its project, which has to be writable before the first step.",
        wrong="chmod a-w runs && ftc apply recipe.yaml",
        right="chmod u+w runs && ftc apply recipe.yaml",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC649",
        title="the judge's key is not there",
        cause="`eval.judge.key_env` names the environment variable that holds the key of the judge's service. A run "
        "whose answers nobody can grade would end without its measurement.",
        wrong="ftc apply recipe.yaml",
        right="JUDGE_API_KEY=… ftc apply recipe.yaml",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
