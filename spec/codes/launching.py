"""7xx: runs of several processes and machines. Exit codes vary."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES = (
    Code(
        id="FTC700",
        title="the plan is not the expected one",
        cause="`--expect` names the digest of the plan that was reviewed or launched. The file contains another plan, "
        "so nothing is run.",
        wrong="ftc apply job.plan.json --expect 2bd8ce4d7cf0   # the file was planned again since",
        right="ftc apply job.plan.json --expect 41c09a7be210   # after the new plan was reviewed",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC701",
        title="the processes of a run differ",
        cause="Before the first step every process reports the digests of its plan, code, packages, model files and "
        "token streams, and the class of its machine. All processes must have the same, or the result would be that of "
        "no plan. No process trains.",
        wrong="torchrun --nnodes 2 … -m ftc apply job.plan.json   # one machine has an older torch",
        right="install the same packages everywhere, or use the same container image",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC702",
        title="a process doesn't see the run's folder",
        cause="No shared disk is needed: machines that don't have the first process's `runs/` are sent what they read "
        "of the run, and send it their parts of checkpoints. But the first process must be on the machine that has the "
        "run, since another one would begin it again. And where `runs/` is on a file system of a network, each machine "
        "must see there what the first process has written.",
        wrong="torchrun --nnodes 2 … -m ftc apply job.plan.json   # machines in another order than before",
        right="number the processes as before, or name a `storage` in `ftc.launch.yaml`",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC703",
        title="the launcher's processes can't be connected",
        cause="A launcher started several processes without the address at which they can find each other, or without "
        "the number of each. ftc starts none of them, since each would begin a run of its own.",
        wrong="mpirun -n 2 ftc apply job.plan.json",
        right="torchrun --nproc-per-node 2 -m ftc apply job.plan.json",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC704",
        title="the inputs of a plan are not on this machine",
        cause="The other processes of a run don't plan again: they use the model files and token streams that the plan "
        "names by digest. One of them is missing here, and so is what it could be made from.",
        wrong="scp job.plan.json node2: && ssh node2 ftc apply job.plan.json",
        right="keep the project and `FTC_CACHE` on a file system that all machines mount",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC705",
        title="a network without machines",
        cause="`budget.link` is the speed of the network between machines. With one machine it has no effect.",
        wrong="budget: {link: 400 Gbit/s}",
        right="budget: {nodes: 2, link: 400 Gbit/s}",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC706",
        title="the plan is for several machines",
        cause="`ftc apply` starts the processes of its own machine. Those of a run on several machines are started on "
        "each of them, by a launcher.",
        wrong="ftc apply job.plan.json   # a plan with `budget: {nodes: 2}`",
        right="ftc launch job.plan.json --on slurm",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC707",
        title="launch settings can't be read",
        cause="`ftc.launch.yaml` says how a site starts jobs. It is read as strictly as a recipe, because a misspelled "
        "key would apply to nothing, and values become part of a job script.",
        wrong="slurm: {partiton: gpu}",
        right="slurm: {partition: gpu}",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC708",
        title="the job was not submitted",
        cause="This machine has no scheduler, there is no Ray at the address, or it refused the job. A job script is "
        "written by then.",
        wrong="ftc launch job.plan.json --on slurm   # on a machine without Slurm",
        right="ftc launch job.plan.json --on slurm --print",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC709",
        title="the machines have no place to meet",
        cause="Without a scheduler, the processes on several machines find each other at a port of the first one. "
        "Ray that starts on this machine alone has no others: name the address of a cluster.",
        wrong="ftc launch job.plan.json --on torchrun",
        right="ftc launch job.plan.json --on torchrun --head node1:29400",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC710",
        title="a setting of the site is missing",
        cause="A job file for Kubernetes or SkyPilot names things that only the site knows: a container image, the "
        "volume or bucket with the project, the name of the GPU. They are read from `ftc.launch.yaml`.",
        wrong="ftc launch job.plan.json --on k8s   # without `k8s` in ftc.launch.yaml",
        right="k8s: {image: 'ghcr.io/team/ftc@sha256:…', claim: shared-disk}",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC711",
        title="a plan can't be packed",
        cause="`ftc pack` copies what the plan pins by digest: model files, token streams and the recipe. One of them "
        "is not on this machine, or has changed since the plan was made.",
        wrong="ftc pack job.plan.json -o job.tar   # after ftc's cache was emptied",
        right="ftc plan recipe.yaml -o job.plan.json && ftc pack job.plan.json -o job.tar",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC712",
        title="a package is damaged",
        cause="A package has a list of its files with their digests, and a plan that says which files belong to it. A "
        "file is missing or has other bytes, the package was cut off, or it has a file that its plan doesn't name. "
        "Everything is compared before anything is put in place.",
        wrong="ftc unpack job.tar   # of which half was copied",
        right="scp laptop:job.tar . && ftc unpack job.tar --expect 41c09a7be210",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC713",
        title="a plan was not unpacked on this machine",
        cause="An unpacked plan is run without its rows, because `ftc unpack` compared everything on this machine. Its "
        "note about that is signed with a secret of the user, so that a folder from elsewhere can't claim it.",
        wrong="scp -r laptop:job . && ftc apply job/job.plan.json",
        right="scp laptop:job.tar . && ftc unpack job.tar && ftc apply job/job.plan.json",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC714",
        title="a plan can't go on from this run",
        cause="`ftc apply PLAN --from RUN` goes on with a run that stopped, where its steps are shared among another "
        "number of processes or machines, or in another way. Rows, model, seeds and every other setting have to be the "
        "same, the run needs a checkpoint, and it must not be at work or over.",
        wrong="ftc apply job.plan.json --from 7f3a2b   # planned with another learning rate",
        right="ftc apply job.yaml --set budget.devices=1 --from 7f3a2b",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC715",
        title="steps that other processes shared can't be repeated",
        cause="Another run did the first steps, with another number of processes. The processes of this run's own plan "
        "add up the same numbers in another order, so they don't give the same bits.",
        wrong="ftc audit 7f3a2b --level full",
        right="ftc audit 7f3a2b --level replay --from-step 120",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC716",
        title="machines don't hold what the plan says",
        cause="With `sharding: hsdp` the processes of a machine hold the model together, and machines hold copies. The "
        "plan counts on launchers that number the processes of a machine one after the other. This launcher numbers "
        "them otherwise, or starts more of them on one machine than on another. The same holds for the processes that "
        "divide each layer with `train.tensor_parallel`.",
        wrong="srun --distribution=cyclic ftc apply job.plan.json",
        right="ftc launch job.plan.json --on slurm",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC717",
        title="devices can't share rows",
        cause="With `train.context_parallel` several devices of a machine share each row. Their number has to divide "
        "that of the machine's devices. The model has to be a decoder in which a token attends to all before it, "
        "that learns what it writes itself, and takes the places of tokens as they are given: no encoder, no sliding "
        "window shorter than the rows, no images, no state from token to token. A run compares the losses of a row "
        "with and without the others before its first step, and stops if they differ.",
        wrong="budget: {devices: 3}\ntrain: {context_parallel: 2}",
        right="budget: {devices: 4}\ntrain: {context_parallel: 2}",
    ),
    Code(
        id="FTC718",
        title="devices can't divide layers",
        cause="With `train.tensor_parallel` several devices of a machine divide each layer by transformers' own plan "
        "for the model. Their number has to divide that of the machine's devices, of the model's heads (KV heads, "
        "too), and of the width of its feed-forward part. The plan has to divide layers by columns and "
        "rows alone, as for Llama, Qwen, Mistral and Gemma. Weights are held as they are, not quantized; "
        "they are trained whole or by LoRA, with `sharding: fsdp` or `hsdp`; and the model learns what it writes from "
        "rows.",
        wrong="budget: {devices: 3}\ntrain: {tensor_parallel: 2}",
        right="budget: {devices: 4}\ntrain: {tensor_parallel: 2}",
    ),
)
