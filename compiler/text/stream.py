"""Writes token streams. `ftc.spec.streams` holds the format and reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from ftc.compiler.text.tokens import TokenRows
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.durable import replacing
from ftc.spec.streams import SplitReport, stream_digest

__all__ = ["findings", "report", "write_stream"]


def write_stream(path: Path, tokens: TokenRows) -> SplitReport:
    """Writes a split beside its final place and renames it, so that a reader never sees half of it.

    The same rows give the same bytes with the same release of pyarrow; the digest depends on the content alone.
    """
    boundaries = pa.array(tokens.boundaries)
    table = pa.table(
        {
            "ids": pa.LargeListArray.from_arrays(boundaries, pa.array(tokens.ids)),
            "mask": pa.LargeListArray.from_arrays(boundaries, pa.array(tokens.mask.view(np.uint8))),
            "prompt_length": pa.array(tokens.prompt_length),
            "label": pa.array(tokens.label),
            "row": pa.array(tokens.row),
        }
    )
    with replacing(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return report(tokens)


def report(tokens: TokenRows) -> SplitReport:
    """Counts what a split holds."""
    lengths = np.diff(tokens.boundaries)
    supervised = np.concatenate([[0], np.cumsum(tokens.mask)])  # (tokens + 1,), supervised tokens before each
    counts = tokens.counts
    return SplitReport(
        rows_read=counts.read,
        rows=len(lengths),
        tokens=len(tokens.ids),
        length_p50=_percentile(lengths, 50),
        length_p95=_percentile(lengths, 95),
        length_max=int(lengths.max()),
        supervised_tokens=int(supervised[-1]),
        supervised_max=int(np.diff(supervised[tokens.boundaries]).max()),
        truncated_rows=counts.truncated,
        dropped_rows=counts.dropped,
        first_dropped=tuple(counts.first_dropped),
        unsupervised_turns=counts.unsupervised_turns,
        rows_without_stop_token=counts.stop_missing,
        rows_with_merged_boundary=counts.merged,
        stream_digest=stream_digest(tokens.ids, tokens.mask, tokens.boundaries, tokens.prompt_length, tokens.label),
    )


def _percentile(lengths: np.ndarray[tuple[int], np.dtype[np.int64]], percent: int) -> int:
    """The smallest length that so many percent of the rows don't exceed."""
    return int(np.percentile(lengths, percent, method="inverted_cdf"))


def findings(split: str, report: SplitReport) -> list[Diagnostic]:
    """Warnings about a split that can be trained on."""
    found: list[Diagnostic] = []
    if report.rows_without_stop_token:
        found.append(
            diagnostic(
                "FTC337",
                f"{split}: no stop token follows the answer in {report.rows_without_stop_token:,} rows",
                help="let the chat template write the model's end token after each turn of the assistant",
            )
        )
    if report.dropped_rows:
        found.append(
            diagnostic(
                "FTC338",
                f"{split}: {report.dropped_rows:,} of {report.rows_read:,} rows are left out",
                notes=[f"row {drop.row}: {drop.reason}" for drop in report.first_dropped],
            )
        )
    if report.rows_with_merged_boundary:
        found.append(
            diagnostic(
                "FTC340",
                f"{split}: prompt and answer share a token in {report.rows_with_merged_boundary:,} rows",
                help="end the prompt template without a space or line break",
            )
        )
    if report.unsupervised_turns:
        found.append(
            diagnostic(
                "FTC341",
                f"{split}: {report.unsupervised_turns:,} turns of the assistant are not learned from",
                help="split these conversations into one row an answer, or choose a template that keeps earlier turns",
            )
        )
    return found
