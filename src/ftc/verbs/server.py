"""`ftc run eval RUN --server URL`: a running server measured against the run whose model it should serve."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.served import ServedModel
from ftc.spec.heads import head_card
from ftc.spec.model_formats import file_type
from ftc.verbs.evaluate import finished_run, refused
from ftc.verbs.predict import usable_inputs
from ftc.verbs.runs import Run

if TYPE_CHECKING:
    from ftc.runtime.evaluation.endpoint import Endpoint
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.streams import Split, TokenStream

__all__ = ["AT_ONCE", "ROWS", "TIMEOUT_SECONDS", "Served", "evaluate_server"]

ROWS = 50
"""Most rows that are asked."""
AT_ONCE = 4
"""Requests that are out at the same time."""
TIMEOUT_SECONDS = 120.0
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Served:
    """A server beside a run.

    Attributes:
        run: The run.
        report: What was measured.
        findings: What isn't as it should be: errors, and what is odd in the file of rows.
    """

    run: Run
    report: ServedModel
    findings: tuple[Diagnostic, ...]


def evaluate_server(
    run: Run | Path | str,
    url: str,
    *,
    model: str | None = None,
    data: Path | str | None = None,
    test: bool = False,
    rows: int = ROWS,
    weight_type: str = "bf16",
    at_once: int = AT_ONCE,
    timeout: float = TIMEOUT_SECONDS,
    key_env: str | None = None,
    compare: bool = False,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> Served:
    """Measures a server that speaks OpenAI's protocol against a finished run.

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        url: The server's address, such as `http://127.0.0.1:8000/v1`.
        model: What the server calls the model; None where it has one alone.
        data: A file of rows with the run's columns; None for the run's validation rows.
        test: Whether the run's test rows are asked in their place; the ledger notes it.
        rows: Most rows that are asked.
        weight_type: Type of the server's weights, which says how far its log-probabilities may differ.
        at_once: Requests that may be out at the same time.
        timeout: Seconds after which a request is given up.
        key_env: Variable of the environment that holds the server's key; None for none.
        compare: Whether the tuned model answers the same rows here, for the paired change.
        on_event: Called with each event.
        folder: Any folder of the project in which a name is looked up.

    Raises:
        Refusal: The run or its rows can't be used (FTC685, FTC687), or the server can't be asked (FTC752).
    """
    found = finished_run(run, folder)
    endpoint = _endpoint(url, key_env, timeout, os.environ)
    _require_writing(found)
    inputs, name = usable_inputs(found), _model_of(endpoint, url, model)
    split: Split = "test" if test or data is not None else "validation"
    with tempfile.TemporaryDirectory(prefix="ftc-rows-") as scratch:
        odd, opened = _file_rows(found, inputs.model_folder, data, Path(scratch)) if data is not None else ((), None)
        served = _measured(
            found,
            inputs,
            opened or _own_rows(found, split, rows, name),
            rows,
            on_event or (lambda event: None),
            endpoint=endpoint,
            url=url,
            model=name,
            split=split,
            data=split if data is None else str(data),
            stream=opened,
            bound=file_type(weight_type),
            at_once=at_once,
            compares=compare,
        )
    return replace(served, findings=(*odd, *served.findings))


def _measured(run: Run, inputs: Inputs, rows: TokenStream, most: int, listen: EventListener, **asked: Any) -> Served:
    """Asks the first rows; the rest of what is asked is named as in `AskedServer`."""
    from ftc.compiler.tokens.conversations import served_rows
    from ftc.runtime.evaluation.server import AskedServer, measure_server
    from ftc.spec.storage.own_tokenizer import tokenizer_folder
    from ftc.spec.storage.paths import RunFolder

    texts = tokenizer_folder(inputs.model_folder, run.plan.settings.model.tokenizer)
    server = AskedServer(rows=served_rows(rows, most, texts), **asked)
    report = measure_server(run.plan, inputs, RunFolder(run.folder), run.record, server, listen)
    return Served(run, report, tuple(_findings(report)))


def _require_writing(run: Run) -> None:
    """Lets pass a run whose model a server of this protocol can have.

    Raises:
        Refusal: FTC685.
    """
    settings = run.plan.settings.model
    if not head_card(settings.head).writes or settings.family != "decoder":
        why = "a server of OpenAI's protocol answers with text by a decoder, and this run's model is none that does"
        raise refused(run, why, "evaluate it on rows with `--data`")


def _endpoint(url: str, key_env: str | None, timeout: float, environment: Mapping[str, str]) -> Endpoint:
    """The server, not yet asked.

    Raises:
        Refusal: The address is none, or holds a secret, or the key isn't there (FTC752).
    """
    from ftc.runtime.evaluation.endpoint import Endpoint

    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise _unasked("its address can't be read", "write it as `http://HOST:PORT/v1`") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        why = "its address holds a name, a password or a query, which would be in reports"
        raise _unasked(why, "put the key into a variable and name that with `--key-env`")
    if not is_usable:
        raise _unasked("its address is none of http or https", "write it as `http://HOST:PORT/v1`")
    if key_env is not None and not environment.get(key_env):
        raise _unasked(f"`{key_env}` is not set in the environment", f"set `{key_env}` to the server's key")
    return Endpoint(url, environment[key_env] if key_env else "", timeout)


def _model_of(endpoint: Endpoint, url: str, asked: str | None) -> str:
    """What the server calls the model.

    Raises:
        Refusal: The server can't be reached, or doesn't say, or has no such model (FTC752).
    """
    from ftc.runtime.evaluation.endpoint import EndpointFault

    try:
        listed = endpoint.get("/models")
    except EndpointFault as fault:
        if fault.status in (404, 405) and asked is not None:
            return asked  # a server need not list its models
        help = "start the server, and give its address with the path, usually `/v1`"
        raise _unasked(f"{url}/models: {fault.reason}", help) from None
    entries = listed.get("data") if isinstance(listed, dict) else None
    names = [str(one["id"]) for one in entries or [] if isinstance(one, dict) and "id" in one]
    shown = ", ".join(f"`{name[:80]}`" for name in names[:_MOST_NAMED]) + (" …" if len(names) > _MOST_NAMED else "")
    if asked is not None and asked not in names and names:
        raise _unasked(f"it has no model `{asked}`", f"name one of its models with `--model`: {shown}")
    if asked is None and len(names) != 1:
        raise _unasked(f"it lists {len(names)} models", f"name one with `--model`{': ' + shown if names else ''}")
    return asked or names[0]


def _unasked(why: str, help: str) -> Refusal:
    return Refusal([diagnostic("FTC752", "the server can't be asked", notes=why, help=help)])


def _file_rows(run: Run, model: Path, file: Path | str, folder: Path) -> tuple[tuple[Diagnostic, ...], TokenStream]:
    """What is odd in a file, such as a header that looks like a row, and its rows."""
    from ftc.compiler.tokens.other_rows import compile_table, read_other
    from ftc.spec.documents.streams import open_stream

    table = read_other(run.plan, Path(file), str(file))
    compile_table(run.plan, model, table, folder)
    return table.warnings, open_stream(folder / "test.arrow")


def _own_rows(run: Run, split: Split, most: int, model: str) -> TokenStream:
    """Rows of the run; that test rows are asked is noted in the ledger."""
    from ftc.compiler.tokens.stream_manifest import kept_streams
    from ftc.spec.documents.streams import open_stream

    report = run.plan.data.get(split)
    if report is None or report.rows == 0:
        other = "`--data` names a file of rows" + ("" if split == "test" else ", `--test` asks its test rows")
        raise refused(run, f"it has no {split} rows", other)
    streams = kept_streams(run.plan)
    if streams is None:
        help = f"`ftc plan {run.plan.recipe_file}` tokenizes them again"
        raise refused(run, "its rows as tokens are no longer in the cache", help)
    stream = open_stream(streams / f"{split}.arrow")
    if split == "test":
        from ftc.spec.documents.ledger import note_evaluation

        note_evaluation(
            run.root,
            name=run.plan.name,
            run_id=run.record.id,
            stream_sha256=report.stream_digest,
            rows=min(len(stream), most),
            purpose=f"ftc eval --server, model {model[:80]}",
        )
    return stream


def _findings(report: ServedModel) -> Iterator[Diagnostic]:
    """What isn't as it should be."""
    if report.failed:
        reasons = [f"{one.count:,} x {one.reason}" for one in report.failed]
        summary = f"{sum(one.count for one in report.failed):,} of {report.rows:,} requests have no answer"
        help = "read the server's log; `--at-once` and `--timeout` change the load"
        yield diagnostic("FTC753", summary, notes=reasons, help=help)
    prompts = report.prompts
    if prompts is not None and prompts.same < prompts.rows:
        summary = f"the server's prompts differ from the run's in {prompts.rows - prompts.same} of {prompts.rows} rows"
        notes = f"by {prompts.by}, first in {prompts.first_other}"
        help = "serve the model with the chat template and the tokenizer of its own folder"
        yield diagnostic("FTC754", summary, notes=notes, help=help)
    parity = report.parity
    if parity is not None and not parity.holds:
        summary = (
            f"the server's log-probabilities differ by up to {100 * parity.share:.3g} % of the range of scores; "
            f"{100 * parity.allowed:.3g} % is allowed"
        )
        notes = f"{parity.same_choices} of {parity.places} likeliest tokens are the same"
        help = "check which model it serves; for one with few bits name their type with `--type`"
        yield diagnostic("FTC755", summary, notes=notes, help=help)
    answers = report.answers
    for gate in answers.gates if answers else ():
        if not gate.passed:
            value = "unknown" if gate.value is None else f"{gate.value:.4g}"
            summary = f"{gate.metric} is {value} on {report.rows} rows of {report.data}; the gate: {gate.bound}"
            yield diagnostic("FTC756", summary, help="serve the model with more bits, and decode greedily")
