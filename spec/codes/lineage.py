"""Codes 561 to 569: runs that begin from earlier runs, and adapters of several runs."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC561",
        title="earlier run not finished",
        cause="`model.base` names a run that stopped before it wrote its result. Only a finished run has weights to "
        "begin from.",
        wrong="model: {base: 'run:tickets'}, and the run is paused at step 40 of 120",
        right="ftc apply tickets.yaml",
    ),
    Code(
        id="FTC562",
        title="earlier run changed",
        cause="`model.base` names a run whose plan, record or weights are no longer what the run left. Weights that "
        "nobody can trace would go into the new model.",
        wrong="an edited adapter_model.safetensors",
        right="the run's folder restored from a copy",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC563",
        title="base of the earlier run changed",
        cause="An adapter belongs to the weights that it was trained beside. The folder of the base model, or of the "
        "merged model, holds other files than when the run ended.",
        wrong="models/minilm with other weights than the run was trained on",
        right="models/minilm as the lock of the run has it",
    ),
    Code(
        id="FTC564",
        title="adapter that can't be continued",
        cause="An adapter is trained further by the same kind of strategy, with the same rank, targets and scale; only "
        "dropout may change. A few kinds can't be continued at all, since a run doesn't keep everything that made "
        "them. A new adapter on the merged model has no such limits.",
        wrong="model: {base: 'run:tickets'}\nstrategy: {kind: lora, rank: 32}, and the run has rank 16",
        right="model: {base: 'run:tickets'}\nstrategy: {kind: lora, rank: 16}",
    ),
    Code(
        id="FTC565",
        title="no merged model of the earlier run",
        cause="A new adapter, and full training, begin from complete weights. The run left an adapter, and the "
        "project's ledger knows no merged model of it that is still there.",
        wrong="model: {base: 'run:tickets', create_new_adapter: true}",
        right="ftc run merge tickets -o models/tickets-merged",
    ),
    Code(
        id="FTC566",
        title="other classes than the earlier run",
        cause="The head of the earlier run has one output per class, in a fixed order. Rows with other classes would "
        "give its outputs another meaning.",
        wrong="model: {base: 'run:tickets'}, and the new rows have a class `refund` that the run never saw",
        right="task: {kind: classification, labels: [billing, delivery]}, as the run has them",
    ),
    Code(
        id="FTC568",
        title="test rows of an earlier run in training",
        cause="The recipe begins from a run, and some of its rows are ones that this run, or one before it, was tested "
        "on. A model that is trained on them, or chosen by them, can no longer be compared with the earlier one. Where "
        "the recipe divides the rows, they are moved to the test split; rows of a file of its own, or without a test "
        "split, can't be.",
        wrong="model: {base: 'run:tickets'}\ndata: {split: {test: 0}}, and the rows are those of `tickets`",
        right="model: {base: 'run:tickets'}\ndata: {split: {test: 0.1}}",
    ),
    Code(
        id="FTC569",
        title="adapters that can't be combined",
        cause="`ftc run combine` adds up LoRA adapters of one base model on the same modules. Other kinds, adapters "
        "with a class head or with rows for added tokens, and for most methods other ranks have no weighted sum that "
        "peft can make. Adapters that were trained with other positions (`model.rope`) don't fit together.",
        wrong="ftc run combine a b --method linear, with ranks 8 and 16",
        right="ftc run combine a b --method svd",
    ),
    Code(
        id="FTC567",
        title="earlier run replaced",
        cause="The run began from another one, and the plan has the digests of that run's record and adapter. What is "
        "in its folder now is something else. Or it continued another run's steps, and that run's step log "
        "has other ones.",
        exit_code=ExitCode.INTEGRITY,
    ),
)
