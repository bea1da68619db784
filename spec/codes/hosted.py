"""79x: jobs at hosted fine-tuning services. Exit codes vary."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES = (
    Code(
        id="FTC790",
        title="a service has no key for a setting",
        cause="A hosted service takes some of a recipe's settings and decides the others itself. A value that the "
        "recipe writes and that the service has no key for would be dropped in silence, so nothing is sent.",
        wrong="strategy: {kind: lora, dora: true}   # with `--on together`",
        right="strategy: {kind: lora}",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC791",
        title="the job can't be done at a service",
        cause="Hosted services train models that write answers to conversations, in whole passes over the rows. The "
        "plan is for another task, a row isn't what the model's chat template makes of a conversation, or its "
        "numbers lie outside of what the service takes for this model.",
        wrong="ftc launch labels.plan.json --on together   # a classifier",
        right="ftc launch chat.plan.json --on together",
        exit_code=ExitCode.RECIPE_INVALID,
    ),
    Code(
        id="FTC792",
        title="the service or the base is shut down",
        cause="A service that takes no jobs any more, or a base that is shut down within 90 days, leaves a model that "
        "nobody can ask. OpenAI's own service takes no jobs from 2027-01-06 on.",
        wrong="ftc launch chat.plan.json --on openai   # after 2027-01-05",
        right="ftc launch chat.plan.json --on together",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC793",
        title="rows should not leave this machine",
        cause="The plan found secrets or personal data in rows that would be sent to somebody else's machines.",
        wrong="ftc launch chat.plan.json --on together   # rows hold e-mail addresses",
        right="ftc launch chat.plan.json --on together --waive personal-data   # you may send them",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC794",
        title="the service can't be used",
        cause="The key is not in the environment, the address or a name is missing from `ftc.launch.yaml`, the service "
        "can't be reached, or it refuses a request. What was noted stays: the same command goes on from there.",
        wrong="ftc launch chat.plan.json --on together   # without TOGETHER_API_KEY",
        right="export TOGETHER_API_KEY=…   # then the same command again",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC795",
        title="the service reads rows otherwise",
        cause="Before a job is created, the service shows the tokens that it would train on. They, or those that are "
        "trained on, are not the plan's: another chat template, tokenizer or mask. Nothing was spent.",
        wrong="together: {model: another/base}   # with another chat template",
        right="together: {model: the/base}",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC796",
        title="the price is not as expected",
        cause="The job costs more than `most` in `ftc.launch.yaml`, nobody knows its price, the service counts other "
        "tokens than the plan, or it doesn't allow the account to go on.",
        wrong="together: {most: 5 USD}   # the job costs 7.10 USD",
        right="together: {most: 8 USD}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC797",
        title="a job may have been created without an answer",
        cause="The request to create the job was sent, no answer came back, and the service lists no such job now. It "
        "may still appear. ftc never asks a second time by itself, since each request that arrives is a paid job.",
        wrong="ftc launch chat.plan.json --on together --another   # without looking",
        right="ftc launch chat.plan.json --on together   # later; `--another` once the service's page shows none",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC798",
        title="the hosted job has no result",
        cause="The service ended the job without a model, or what it sent as one can't be kept or used: a file is "
        "damaged, has a name that leads out of its folder, or holds another adapter than the plan's.",
        wrong="ftc launch chat.plan.json --on together   # the job failed there",
        right="ftc launch chat.plan.json --on together --another   # creates another paid job",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC799",
        title="a hosted job is not as its record says",
        cause="`ftc audit` compared a hosted job's record with its plan, its rows and its fetched files, and one of "
        "them is another.",
        wrong="cp other/adapter_model.safetensors runs/chat/together-3f2a71c08d15/adapter/",
        right="restore the folder from a copy",
        exit_code=ExitCode.INTEGRITY,
    ),
)
