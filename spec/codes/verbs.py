"""Codes 65x, what a verb needs before it can begin."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

CODES: tuple[Code, ...] = (
    Code(
        id="FTC650",
        title="packages that a verb needs are missing",
        cause="Validating, planning and auditing need a light installation only. `apply` trains, for which torch, "
        "transformers and others are needed, `lsp` talks to editors through pygls, and `sign` and `verify` use "
        "model-signing, and `eval --harness` lm-eval. A recipe that asks for presidio needs `presidio-analyzer` to be "
        "planned, and one that is measured by METEOR `nltk`.",
        wrong="pip install ftc",
        right="pip install 'ftc[train]'",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC651",
        title="file or folder exists",
        cause="`ftc init` and `ftc import` write a new file, `ftc merge` a new folder; they touch none that is there. "
        "`ftc plan -o`, `ftc export -o` and `ftc sign -o` replace only what ftc itself wrote as the same kind of "
        "document, so that a wrong name costs no rows or recipe. `--force` replaces other regular files; links, "
        "folders, devices, write-protected files and files of a run are never replaced.",
        wrong="ftc plan recipe.yaml -o rows.json",
        right="ftc plan recipe.yaml -o recipe.plan.json",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC652",
        title="WordNet is not here",
        cause="METEOR takes synonyms from the WordNet database, which no Python package carries and ftc doesn't "
        "download. It is looked for where nltk looks for its data, `NLTK_DATA` first, and where Debian puts it.",
        wrong="pip install 'ftc[train]' && ftc plan recipe.yaml   # with `eval: {metrics: [meteor]}`",
        right="apt-get install wordnet-base && ftc plan recipe.yaml",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC653",
        title="folder for an output is missing",
        cause="ftc makes no folders for `-o`, since a mistyped folder would hide the file in a new one.",
        wrong="ftc plan recipe.yaml -o plans/recipe.plan.json",
        right="mkdir plans && ftc plan recipe.yaml -o plans/recipe.plan.json",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
