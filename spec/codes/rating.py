"""Codes 68x, what can't be rated or compared."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

CODES: tuple[Code, ...] = (
    Code(
        id="FTC680",
        title="a run has no answers to rate",
        cause="Raters compare what models wrote for the test rows. A run that isn't finished, has no test split, or "
        "whose task has no answers, has none; without `eval.baseline` there are none of the base model.",
        wrong="ftc rate 3f2a91c0d7e4   # its recipe says `eval: {baseline: false}`",
        right="ftc rate 3f2a91c0d7e4 b81c07d52f6a   # two tuned models",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC681",
        title="two runs have no test row in common",
        cause="Two answers can be compared only where both models were given the same row. Other data, another split "
        "or another prompt is another row.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC682",
        title="not a rater's name",
        cause="A rater's decisions stand in a file that has the rater's name.",
        wrong="ftc rate 3f2a91c0d7e4 --rater 'a/b'",
        right="ftc rate 3f2a91c0d7e4 --rater ab",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC683",
        title="a run has no measured test rows",
        cause="Runs are compared by what their models made of the same test rows. A run that isn't finished, or has no "
        "test split, has none.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC685",
        title="a run can't be measured once more",
        cause="`ftc eval` takes the weights that a finished run left, its base model where the recipe says, and its "
        "test rows as tokens, or a file of other rows.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC686",
        title="task that the harness doesn't know",
        cause="`ftc eval --harness` takes names of tasks of the lm-evaluation-harness, its own or those of a folder of "
        "YAML files that `--tasks` names.",
        wrong="ftc eval RUN --harness helaswag",
        right="ftc eval RUN --harness hellaswag",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
