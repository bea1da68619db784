"""Codes 6xx, the machine, the installed packages and the run itself."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

CODES: tuple[Code, ...] = (
    Code(
        id="FTC600",
        title="unknown device",
        cause="`budget.device` is `auto`, `cpu`, a GPU of `ftc device list`, or a GPU described by its figures.",
        wrong="budget: {device: rtx-4900}",
        right="budget: {device: rtx-4090}",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC601",
        title="ftc isn't installed as a package",
        cause="ftc reads the list of packages that a run imports from its own package metadata, which is missing "
        "when the sources are only on the import path.",
        wrong="PYTHONPATH=src python -m ftc plan",
        right="pip install -e . && ftc plan",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC602",
        title="the device could not be measured",
        cause="`ftc device calibrate` runs short training steps in a separate process, which needs the training "
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
        id="FTC606",
        title="the run's process was killed",
        cause="The system ended the process of the run, which could not say so itself. A small process beside it saw "
        "the end and compared the run's files. Often memory ran out; a `Bus error` means that a file was cut off "
        "while it was being read.",
        wrong="kill -9 PID",
        right="ftc apply job.plan.json   # continues from the last checkpoint",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC607",
        title="no recipe can be written for this data",
        cause="`ftc init` names the data file and its columns in the recipe. A recipe holds no invisible characters, "
        "since nobody could check them, and no value of more than 65,536 characters.",
        wrong="ftc init --data rows.csv   # whose header has a right-to-left mark",
        right="ftc init --data renamed.csv",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC608",
        title="columns that the predictions don't repeat",
        cause="Predictions come with the columns of their rows. Bytes, nested structures and lengths of time have no "
        "form in JSON or CSV; these columns are not in the output, and which row is which can be lost with them.",
        wrong="ftc predict 7f3a2b --data new.parquet   # `id` is 16 bytes",
        right="pq.write_table(table.set_column(0, 'id', [[one.hex() for one in ids]]), 'new.parquet')",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC609",
        title="a sweep's folder is damaged",
        cause="A sweep keeps its trials in `.ftc/sweeps/NAME/`: Optuna's journal, and which runs have the recipe's own "
        "values. One of these files isn't what was written there.",
        wrong="head -c 900 .ftc/sweeps/rates/journal.log | sponge .ftc/sweeps/rates/journal.log",
        right="git checkout .ftc/sweeps/rates   # or delete the folder; the trials' runs stay",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC611",
        title="an accelerator that ftc doesn't use",
        cause="ftc trains on NVIDIA GPUs and on CPUs. Nobody has measured memory and time of other accelerators, or "
        "whether a run gives the same bits again there, so that a plan for them would be a guess. `device: auto` takes "
        "the CPU; `device: cpu` says that this is meant.",
        wrong="budget: {device: auto}   # on an Apple M3",
        right="budget: {device: cpu}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC620",
        title="model file differs from the plan",
        cause="Every file that the model is loaded from is hashed before the first step. A file is missing or "
        "differs from the plan's lock, and would give another model under the same name.",
        wrong="ftc plan -o job.plan.json && cp other.safetensors models/base/ && ftc apply job.plan.json",
        right="ftc plan -o job.plan.json && ftc apply job.plan.json",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC621",
        title="token stream differs from the plan",
        cause="A run trains on the tokens that the plan prepared. The token stream is missing or has another digest: "
        "it comes from another plan, or the cache is damaged.",
        wrong="ftc apply job.plan.json   # after the cache was emptied",
        right="ftc plan recipe.yaml -o job.plan.json && ftc apply job.plan.json",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC622",
        title="installed packages differ from the lock",
        cause="Another version of a package can change the result, so a run starts only with the versions that the "
        "plan was made with.",
        wrong="pip install -U transformers && ftc apply job.plan.json",
        right="ftc plan recipe.yaml -o job.plan.json && ftc apply job.plan.json",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC623",
        title="device differs from the plan",
        cause="Memory, precision and kernels were chosen for the device that the plan names.",
        wrong="budget: {device: rtx-4090}   # applied on a machine without a GPU",
        right="budget: {device: auto}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC624",
        title="number of processes differs from the plan",
        cause="Launchers can silently fall back to one process; each step would then see other rows than planned.",
        wrong="torchrun --nproc-per-node 4 -m ftc apply job.plan.json --yes   # a plan for two devices",
        right="ftc apply job.plan.json   # starts two processes itself",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC625",
        title="adapter does not match the plan",
        cause="The number of adapted modules determines memory and result; it is compared with the plan when the "
        "adapter is created.",
        wrong="strategy: {kind: lora, targets: [dense]}   # with a version of transformers that renamed modules",
        right="strategy: {kind: lora, targets: all-linear}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC626",
        title="loss or gradient is not finite",
        cause="A step with NaN or infinity would destroy the weights, so the run stops before it. The last "
        "checkpoint is intact.",
        wrong="train: {learning_rate: 5}",
        right="train: {learning_rate: 2e-4}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC627",
        title="another process uses this run",
        cause="Two processes in one folder would overwrite each other's checkpoints.",
        wrong="ftc apply job.plan.json & ftc apply job.plan.json",
        right="ftc apply job.plan.json",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC628",
        title="the run's folder contains other files",
        cause="A run writes only to a folder that is new, empty or its own, so that no other file can be lost.",
        wrong="mkdir runs/demo/7f3a2b && cp notes.txt runs/demo/7f3a2b",
        right="mv runs/demo/7f3a2b elsewhere",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC629",
        title="a checkpoint is damaged",
        cause="A checkpoint is used only if every file matches the size and digest in its manifest. ftc skips a "
        "damaged checkpoint and uses the previous one.",
        wrong="truncate -s 100 runs/demo/7f3a2b/checkpoints/step-00000120/trainable.safetensors",
        right="ftc apply job.plan.json   # continues from the previous checkpoint",
        severity=Severity.WARNING,
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC630",
        title="saved weights differ from the record",
        cause="The evaluation loads the weights that the run saved. These bytes differ from the record, so their "
        "score would be filed under the wrong name.",
        wrong="cp other.safetensors runs/demo/7f3a2b/adapter/adapter_model.safetensors",
        right="ftc apply job.plan.json   # writes the weights again from the checkpoint",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC631",
        title="not enough disk space",
        cause="Without enough space the run would stop in the middle of a checkpoint.",
        wrong="train: {keep_checkpoints: 50}",
        right="train: {keep_checkpoints: 2}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC633",
        title="out of device memory",
        cause="The job needed more memory than the device had free. The last checkpoint is intact.",
        wrong="train: {batch_size: 64, micro_batch: 64}",
        right="train: {batch_size: 64, micro_batch: 8}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC634",
        title="the base model's folder holds an adapter",
        cause="Loading the model would add the adapter's weights, which the plan does not contain.",
        wrong="models/base/{config.json,model.safetensors,adapter_config.json,adapter_model.safetensors}",
        right="models/base/{config.json,model.safetensors}",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC635",
        title="the model can't be loaded",
        cause="The files match the plan, but the installed transformers can't build a model from them.",
        wrong="model: {base: models/from-the-future}",
        right="model: {base: models/known-architecture}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC636",
        title="WordNet differs from the plan",
        cause="METEOR takes synonyms from WordNet, whose files the lock pins by digest. Other files with the same "
        "name could give other scores.",
        wrong="ftc plan -o job.plan.json && rm -r ~/nltk_data/corpora/wordnet && ftc apply job.plan.json",
        right="ftc plan -o job.plan.json && ftc apply job.plan.json",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC640",
        title="kernels that are not known to be deterministic",
        cause="`determinism: bitwise` uses only kernels that are known to give the same bits in every process. "
        "Anything that neither ftc's tests nor the library's authors guarantee is refused when the plan is "
        "made.",
        wrong="train: {determinism: bitwise}   # with strategy: {kind: qlora} on a GPU",
        right="train: {determinism: best_effort}",
    ),
    Code(
        id="FTC641",
        title="the environment was not set before Python started",
        cause="Hash seeds, thread pools and GPU workspaces are read once, when Python starts. `ftc apply` restarts "
        "itself if they are wrong; a program that calls `ftc.apply` has to be started with them.",
        wrong="python train.py   # a bitwise plan, with ftc.apply",
        right="ftc apply job.plan.json",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC642",
        title="repeated steps gave different bits",
        cause="The plan requires bitwise reproducibility, but its first steps, run twice in fresh processes on this "
        "machine, differ. No step of the run was kept.",
        wrong="train: {determinism: bitwise}",
        right="train: {determinism: best_effort}",
        exit_code=ExitCode.NOT_REPRODUCED,
    ),
    Code(
        id="FTC643",
        title="weaker determinism than requested",
        cause="With `determinism: best_effort` the run continues if a kernel is not known to be deterministic, or if "
        "the check fails. The record contains the result of the check.",
        wrong="train: {determinism: best_effort}   # with 4-bit weights on a GPU",
        right="train: {determinism: auto}",
        severity=Severity.WARNING,
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC644",
        title="a process of the run was lost",
        cause="Every step needs all processes of the run. One has died, was stopped, or its machine doesn't answer; "
        "the others stop instead of waiting. Before the first step they wait as long as work on rows and files makes "
        "progress, and half an hour without any, in which a file from the hub has to arrive.",
        wrong="kill -9 PID   # of one of two processes",
        right="ftc apply job.plan.json   # continues from the last checkpoint",
        exit_code=ExitCode.PROCESS_LOST,
    ),
    Code(
        id="FTC645",
        title="code changed during the run",
        cause="ftc notes a digest of its own files and the project's commit before the first step and checks them "
        "after the last. They differ, so modules loaded during the run may be of another version.",
        wrong="ftc apply job.plan.json & git pull",
        right="ftc apply job.plan.json && git pull",
        severity=Severity.WARNING,
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC262",
        title="packed rows affect each other",
        cause="Before the first step ftc compares the losses of rows in one packed sequence with their losses alone. "
        "They differ, so the model mixes rows and would train on the wrong context.",
        wrong="train: {packing: true}",
        right="train: {packing: false}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC266",
        title="logits change behind the output layer",
        cause="With chunks of the loss ftc computes logits itself, as the model's class does. Before the first step it "
        "compares both at one position. They differ, so the installed transformers does something new there.",
        wrong="train: {loss_chunk_size: 1024}",
        right="train: {loss_chunk_size: none}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC646",
        title="step without target tokens",
        cause="Every token of the step's rows is masked, so there is no loss. The step is counted and changes no "
        "weight. Usually the rows are truncated before their answer begins.",
        wrong="data: {max_length: 8}",
        right="data: {max_length: 512}",
        severity=Severity.WARNING,
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC647",
        title="write failed",
        cause="A write failed because the disk is full, a quota or file size limit is reached, or the disk is "
        "broken. The incomplete file was removed, and older checkpoints are intact.",
        wrong="train: {keep_checkpoints: 50}",
        right="train: {keep_checkpoints: 2}",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC648",
        title="a folder is not writable",
        cause="A plan writes the lock beside its recipe, and token streams to ftc's cache: the folder that `FTC_CACHE` "
        "names, or the user's cache folder. A run writes to `runs/` of its project. Each must be writable before the "
        "work begins.",
        wrong="chmod a-w runs && ftc apply recipe.yaml",
        right="chmod u+w runs && ftc apply recipe.yaml",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC649",
        title="the key of a judge or an answer server is not set",
        cause="`key_env` of `eval.judge`, or of a reward's judge, names the environment variable with the key of the "
        "judge's service; `writers` in `ftc.launch.yaml` names that of a server that writes answers. Without it the "
        "service refuses every request.",
        wrong="ftc apply recipe.yaml",
        right="JUDGE_API_KEY=… ftc apply recipe.yaml",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC673",
        title="layers are not compiled",
        cause="The plan asks for compiled layers (`train.compile`), but torch can't compile this model here: a C++ "
        "compiler is missing, an operator is not supported, or the loss of a row depends on other rows. The run goes "
        "on with the layers as they are. Its results are right, and it is as fast as without the option.",
        wrong="train: {compile: true}   # on a machine without a C++ compiler",
        right="train: {compile: false}",
        severity=Severity.WARNING,
    ),
)
