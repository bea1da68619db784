"""Codes 5xx: the lock, the saved plan, the integrity of a run, and signatures."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC501",
        title="lock can't be read",
        cause="The lock file is not JSON, or was written by a release that this one does not support.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC502",
        title="lock does not match its checksum",
        cause="Each section of the lock contains the digest of its contents. Somebody edited the file by hand, or a "
        "merge mixed two versions of a section.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC503",
        title="lock is stale",
        cause="With `--locked` nothing may differ from the lock. The recipe, a file or a package has changed since "
        "the lock was written.",
        exit_code=ExitCode.CHANGES,
    ),
    Code(
        id="FTC504",
        title="lock in another format",
        cause="The lock was written by a release with a format that this one does not read. `ftc lock --migrate` "
        "changes only the format, so that a reviewer sees nothing else in the commit.",
        exit_code=ExitCode.CHANGES,
    ),
    Code(
        id="FTC505",
        title="nothing locked under this name",
        cause="`--upgrade-package` names a reference to the hub or an address by its use (`model`, `rows`, "
        "`validation`, `test`), or an installed package. This recipe has no such reference, and no such package is "
        "installed.",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC510",
        title="saved plan can't be read",
        cause="The file is not a plan, or was written by a release that this one does not support.",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC511",
        title="saved plan was edited",
        cause="A plan contains the digest of its own contents, and it no longer matches. ftc runs a plan exactly as "
        "it was reviewed, or not at all.",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC512",
        title="saved plan is stale",
        cause="An input of the plan has changed since it was saved: the recipe, the model, the data, the packages or "
        "the device.",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC513",
        title="no such lock",
        cause="No run of this project is locked under this name. `ftc apply` shows the name when a run is locked.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC514",
        title="locked by a running process",
        cause="The process that holds the lock is running on this machine. Without the lock, two processes could "
        "write to one run.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC515",
        title="input changed after it was verified",
        cause="A file had the plan's digest when the run began, and was written to before or while it was read. The "
        "run may have read something else, so its result proves nothing.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC516",
        title="not found in git",
        cause="`FILE@REVISION` names a file in a commit, a branch or a tag of the repository. The revision or the "
        "file doesn't exist, or the folder is not a repository.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC517",
        title="neither a digest nor a file",
        cause="`who-used` takes a sha256 digest or a file. A prefix of fewer than 8 digits is ambiguous.",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC518",
        title="origin of a file is unknown",
        cause="Weights that ftc exports contain their provenance in the file header. This file has none that can be "
        "read, and no record of this project contains its tensors.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC519",
        title="file doesn't match its header",
        cause="The header names a run whose record is here, and that run ended with other weights. Somebody changed "
        "the file, or copied the header of another one.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC520",
        title="no such run",
        cause="No run in the project's `runs/` folder has an id that begins so, and no recipe of this name has a run.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC521",
        title="file differs from the record",
        cause="The file's bytes differ from the run's record. Somebody changed the file, or the disk is damaged.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC522",
        title="file is missing",
        cause="A file that the record names is missing, so it can't be checked.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC523",
        title="record does not match its digest",
        cause="The record contains the digest of its own contents, and it no longer matches.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC524",
        title="record can't be read",
        cause="The run's record or plan is not a document that this release can read.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC525",
        title="run is not finished",
        cause="The run goes on, or was paused, interrupted or failed, so there is no result to audit.",
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
        cause="The run's steps were repeated from the same inputs, and a batch, loss, gradient or weight differs "
        "from the run's step log.",
        exit_code=ExitCode.NOT_REPRODUCED,
    ),
    Code(
        id="FTC531",
        title="different kind of machine or code",
        cause="Another CPU, GPU, driver, number of threads or library version computes in another order, so "
        "different bits prove nothing. Nothing was executed; `--force` executes the replay anyway.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC532",
        title="no starting point for a replay",
        cause="A replay starts before the first step, or at a checkpoint that is intact.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC533",
        title="previous run's record was replaced",
        cause="A record contains the digest of the record that ended before it. That run now has another record, so "
        "one of the two was replaced.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC534",
        title="step log contradicts the record",
        cause="The step log (`ladder.ndjson`) has a line for each step that the record counts, and its weight "
        "checksums match the record and the checkpoints. Here they don't.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC535",
        title="no such steps",
        cause="A replay needs a first step and a later last step, both of which the run has done.",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC536",
        title="replay failed",
        cause="The process that repeats the steps ended without a result.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC537",
        title="a run's documents contradict each other",
        cause="A record summarizes the events, step log, checkpoints and exported weights. One of these documents "
        "was changed after the run, and its checksum was renewed.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC538",
        title="ledger contradicts the run",
        cause="The project's ledger contains the digest of each plan that was started and of each record as the run "
        "left it. Every entry contains the digest of the previous one.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC539",
        title="unexpected file",
        cause="A folder that programs load as a whole contains a file that is neither from the run nor in the lock. "
        "Loading the folder would include it.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC551",
        title="a document of the run was changed",
        cause="The plan, the record, the scores or the predictions of a run have another checksum than the run left "
        "them with: somebody edited them, or a disk or a merge damaged them. What is shown comes from them as they "
        "are.",
        wrong="edit runs/tickets/3f2a…/eval.json && ftc show 3f2a",
        right="git checkout runs/tickets/3f2a…/eval.json",
        severity=Severity.WARNING,
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC540",
        title="key can't be used",
        cause="`ftc run sign` needs a private key and `ftc run verify` a public key on an elliptic curve (P-256, P-384 "
        "or P-521), as PEM, without a password.",
        wrong="ftc run sign RUN --key id_rsa",
        right="openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem\n"
        "openssl pkey -in key.pem -pubout -out key.pub.pem\n"
        "ftc run sign RUN --key key.pem",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC541",
        title="no signature",
        cause="There is no signature to compare the folder with, so nothing is proven.",
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    Code(
        id="FTC542",
        title="invalid signature",
        cause="The folder changed after it was signed, or another key signed it. If the signature itself is valid, "
        "the finding names what changed.",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC543",
        title="folder can't be signed",
        cause="A signature covers files. A link may point elsewhere later, and an empty folder has nothing to sign.",
        exit_code=ExitCode.USAGE,
    ),
)
