"""Codes 5xx: the lock, the saved plan, the integrity of a run, and signatures."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC501",
        title="lock can't be read",
        cause="The lock file is no JSON, or was written by a release that this one does not know.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC502",
        title="lock does not match its seal",
        cause="Each section of the lock carries the digest of its contents. Somebody edited the file by hand, or a "
        "merge mixed two versions of a section.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC503",
        title="lock is stale",
        cause="With `--locked` nothing may differ from the lock. The recipe, a file or a package has changed since it "
        "was written.",
        exit_code=ExitCode.CHANGES,
    ),
    Code(
        id="FTC504",
        title="lock of another format",
        cause="The lock was written by a release whose format this one does not read. A format changes only in a "
        "commit of its own, by `ftc lock --migrate`, so that a review sees nothing else in it.",
        exit_code=ExitCode.CHANGES,
    ),
    Code(
        id="FTC505",
        title="nothing of this name is locked",
        cause="`--upgrade-package` names a ref of the hub by its use (`model`, `rows`, `validation`, `test`) or an "
        "installed package. This recipe has no such ref, and no such package is installed.",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC510",
        title="saved plan can't be read",
        cause="The file is no plan, or was written by a release that this one does not know.",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC511",
        title="saved plan was edited",
        cause="A plan carries the digest of its own contents, and they no longer match. A plan is executed exactly as "
        "it was reviewed or not at all.",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC512",
        title="saved plan is stale",
        cause="Something that the plan rests on has changed since it was saved: the recipe, the model, the data, the "
        "packages or the device.",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC513",
        title="no such lock",
        cause="No run of this project is held under this name. `ftc apply` tells the name where it finds a run held.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC514",
        title="lock is held by a living process",
        cause="The process that holds the lock is at work on this machine. Taking the lock away would let two "
        "processes write to one run.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC515",
        title="input changed after it was verified",
        cause="A file had the plan's digest when the run began, and was written to before or while it was read. What "
        "the run read since then may be something else, so that its result proves nothing.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC516",
        title="git doesn't have it",
        cause="`FILE@REVISION` names a file as a commit, a branch or a tag of the repository has it. There is no such "
        "revision, it has no such file, or the folder is no repository.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC517",
        title="neither a digest nor a file",
        cause="`who-used` looks for a sha256. A beginning of fewer than 8 digits stands for too many of them.",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC518",
        title="nothing tells where a file comes from",
        cause="Weights that ftc exports carry what made them in their own header. This file carries nothing that can "
        "be read, and no record of this project names its tensors.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC519",
        title="file isn't what its header says",
        cause="The header names a run whose record is here, and that run ended with other weights. Somebody changed "
        "the file, or copied the header of another.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC520",
        title="no such run",
        cause="No run with this name lies in this project's `runs/` folder.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC521",
        title="file differs from the record",
        cause="A file has other bytes than the run's record says. Somebody changed it, or the disk did.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC522",
        title="file is missing",
        cause="A file that the record names is not there, so nothing can be said about it.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC523",
        title="record does not match its digest",
        cause="The record carries the digest of its own contents, and they no longer match.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC524",
        title="record can't be read",
        cause="The run's record, or the plan beside it, is no document that this release can read.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC525",
        title="run is not finished",
        cause="The run was interrupted or failed; it left no result that could be audited.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC526",
        title="ledger lacks the end of a run",
        cause="The project's ledger says that the run began, the run's record says that it is finished, and the "
        "ledger's entry about its end is missing. Only a power failure in the last moment of a run leaves it so; "
        "otherwise somebody cut the ledger.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC527",
        title="ledger lacks an evaluation",
        cause="Each evaluation on the test set is noted in the project's ledger before it begins. The run has more "
        "results than the ledger has entries, so that entries were cut out.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC528",
        title="remark of a strict audit",
        cause="Packages that differ here by now, code that changed while the run went on, an interruption, a clock "
        "that was set, a license that the model states otherwise by now: honest runs show these too, so that only "
        "`ftc audit --strict` takes them for findings.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC529",
        title="signature of the run does not hold",
        cause="`ftc audit --key` asks for a signature over the run's folder, and there is none, or it is about other "
        "files or of another key.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC530",
        title="training was not reproduced",
        cause="The run's steps were done again from the same inputs, and a batch, loss, gradient or weight differs "
        "from what the run's ladder says.",
        exit_code=ExitCode.NOT_REPRODUCED,
    ),
    Code(
        id="FTC531",
        title="machine or code of another class",
        cause="Another processor, card, driver, number of threads or version of a library computes in another order, "
        "and then other bits prove nothing. Nothing was executed; `--force` executes all the same.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC532",
        title="nothing to begin a replay from",
        cause="A replay begins before the first step, or at a checkpoint that is still whole.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC533",
        title="record of the run before is another one",
        cause="A record holds the digest of the record that ended before it. The run of that name has another one now, "
        "so one of the two was replaced.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC534",
        title="ladder contradicts the record",
        cause="The trace ladder has a line for each step that the record counts, and its rungs hold the weights that "
        "the record and the checkpoints name.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC535",
        title="no such steps",
        cause="A replay goes from a step to a later one, both of which the run has done.",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC536",
        title="replay broke off",
        cause="The fresh process that was to do the steps again ended without an answer.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC537",
        title="a run's documents contradict each other",
        cause="A record sums up what events, ladder, checkpoints and exported weights tell one by one. One of the two "
        "was changed after the run, and sealed again where it has a seal.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC538",
        title="ledger contradicts the run",
        cause="The project's ledger keeps the digest of each plan that was begun and of each record as the run left "
        "it, and every entry the digest of the one before.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC539",
        title="file that nobody knows",
        cause="A folder that programs load as a whole holds a file that neither the run left nor the lock names. "
        "Loading the folder would take it along.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC540",
        title="key can't be used",
        cause="`ftc run sign` needs a private and `ftc run verify` a public key on an elliptic curve (P-256, P-384 or "
        "P-521), as PEM, without a password.",
        wrong="ftc run sign RUN --key id_rsa",
        right="openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem\n"
        "openssl pkey -in key.pem -pubout -out key.pub.pem\n"
        "ftc run sign RUN --key key.pem",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC541",
        title="no signature",
        cause="There is no signature to compare the folder with, which is no proof of anything.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC542",
        title="signature does not hold",
        cause="The folder isn't the one that was signed, or another key signed it. What changed is named, where the "
        "signature itself is good.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC543",
        title="folder can't be signed",
        cause="A signature is over files. A link could lead elsewhere tomorrow, and an empty folder says nothing.",
        exit_code=ExitCode.USAGE,
    ),
)
