"""Codes 58x: runs that pause, and sweeps."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC580",
        title="no such step",
        cause="A run can pause after any of its plan's steps, and the plan has no step of that number.",
        wrong="ftc apply recipe.yaml --until 500   # of 200 steps",
        right="ftc apply recipe.yaml --until 100",
        exit_code=ExitCode.USAGE,
    ),
    Code(
        id="FTC581",
        title="not a sweep",
        cause="The file of a sweep names a recipe and a space: the settings of the recipe that are searched, with the "
        "values that each may take.",
        wrong="ftc_sweep: 1\nrecipe: tickets.yaml\nobjective: {metric: accuracy}",
        right="ftc_sweep: 1\nrecipe: tickets.yaml\nobjective: {metric: val_accuracy}\n"
        "space:\n  train: {learning_rate: {log: [1e-4, 3e-3]}}\n  strategy: {rank: [4, 8, 16]}",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC582",
        title="the sweep's recipe is not there",
        cause="A sweep names its recipe by a path relative to its own file.",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC583",
        title="trials of another search",
        cause="What is searched, by which objective and with which seed decides which trials there are. The folder of "
        "the sweep has trials of other answers. The number of trials and the budget may change at any time.",
        exit_code=ExitCode.PLAN_STALE,
    ),
    Code(
        id="FTC584",
        title="the recipe does not measure the objective",
        cause="A sweep chooses by what the recipe measures on its validation rows while it trains.",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC585",
        title="too many corners",
        cause="Before a sweep runs, every combination of the ends of its ranges and of the values of its lists is "
        "planned, so that no trial fails for memory, time or money. There are too many of them.",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC586",
        title="the sweep does not fit its budget",
        cause="The limits of a sweep hold for all of its trials together, and are compared with what their plans "
        "expect, before anything runs.",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC587",
        title="a trial needs several devices",
        cause="Each trial of a sweep is trained in one process on one device.",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC588",
        title="nothing to choose from",
        cause="A sweep has its answer once a trial has run to its end.",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
