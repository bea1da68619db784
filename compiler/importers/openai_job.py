"""A job of OpenAI's fine-tuning, as the service describes it: what is left of a training that can't be repeated there.

The description has the numbers that were used, and names rows and base by ids that mean nothing elsewhere.
"""

from __future__ import annotations

from ftc.compiler.importers import rows, rules
from ftc.compiler.importers.translation import Translation
from ftc.spec.strategies.lora import LORA

__all__ = ["OPENAI_JOB"]

_GET = "fetch the rows' file from the service, and give it with `--data FILE`"
_OWN_RATE = "times a learning rate that the service keeps to itself"


def _base(t: Translation) -> None:
    if t.options.base:
        t.add("model.base", t.options.base, "given by --base")
        t.drop("model", "the service's own model can't be trained elsewhere", "compare the result with its answers")
    else:
        help = "choose one with `--base MODEL`; `ftc models` lists some, planned for your device"
        t.block("model", f"the base `{(t.text('model') or '')[:60]}` is not to be had outside of the service", help)


def _method(t: Translation) -> None:
    kind = t.text("method.type") or "supervised"
    if kind != "supervised":
        summary = f"jobs of the method `{kind[:20]}` are not imported: their rows are nested in a way of the service"
        t.block("method.type", summary, "bring the rows into ftc's columns, and start from `ftc init --data FILE`")
    t.needless("method.type", "the rows are conversations")
    t.add("strategy.kind", LORA.kind, "the service does not name its method")
    if not t.options.data:
        t.block("training_file", "the rows are at the service", _GET)
        return
    t.add("data.source.path", t.options.data, "given by --data")
    if t.options.task:
        rows.as_asked(t, "training_file", "")
    else:
        rows.as_chat(t, "training_file", None)
    t.add("data.split.validation", 0, "the service keeps no rows for validation unless they are uploaded")
    t.add("data.split.test", 0, "the service keeps no test rows; a share such as 0.1 measures the result")


def _numbers(t: Translation) -> None:
    """The newer place of the numbers comes before the older one."""
    for place in ("method.supervised.hyperparameters", "hyperparameters"):
        for name, path in (("n_epochs", "train.epochs"), ("batch_size", "train.batch_size")):
            key = f"{place}.{name}"
            if t.text(key) == "auto":
                t.needless(key, "the service chose; the recipe's own default counts")
            elif path in t.values:
                t.needless(key, "said by `method`, too")
            elif (number := t.whole(key)) is not None and number > 0:
                t.carry(key, path, number)
        help = "the plan takes ftc's rate for the strategy; `ftc sweep` searches a better one"
        t.drop(f"{place}.learning_rate_multiplier", _OWN_RATE, help)


_STATE = (
    "object id created_at finished_at estimated_finish fine_tuned_model organization_id status trained_tokens "
    "result_files error events checkpoints shared_with_openai user_provided_suffix suffix usage_metrics"
)

OPENAI_JOB = rules.Tool(
    name="openai",
    marks=(("training_file",), ("fine_tuned_model", "organization_id", "result_files", "trained_tokens")),
    model=None,
    steps=(_base, _method, _numbers),
    rules={
        **rules.wholes({"seed": "train.seed"}),
        **rules.needless("describes the job and not the training", _STATE),
        **rules.needless("labels of the job", "metadata"),
        **rules.dropped("uploaded rows", "validation_file", "set `data.split.validation: {path: FILE}`"),
        **rules.dropped("`track` names trackers", "integrations", off=(None, [], ())),
    },
    unknown=lambda t, key: t.drop(key, "no counterpart in a recipe"),
    defaults={},
)
"""Descriptions of jobs, as `GET /fine_tuning/jobs/ID` gives them."""
