"""Codes 65x, what a verb needs before it can begin."""

from ftc.spec.codes._code import Code

CODES: tuple[Code, ...] = (
    Code(
        id="FTC650",
        title="packages that a verb needs are missing",
        cause="Validating, planning and auditing need a light installation only. `apply` trains, for which torch, "
        "transformers and others are needed, `lsp` talks to editors through pygls, and `sign` and `verify` use "
        "model-signing, and `eval --harness` lm-eval. A recipe that asks for presidio needs `presidio-analyzer` to be "
        "planned.",
        wrong="pip install ftc",
        right="pip install 'ftc[train]'",
        exit_code=1,
    ),
    Code(
        id="FTC651",
        title="file exists",
        cause="`ftc init` and `ftc import` write a new file and never touch one that is there.",
        exit_code=1,
    ),
)
