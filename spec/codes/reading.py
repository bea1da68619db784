"""Codes of what rows look like that are read otherwise than they are meant, or not at all."""

from ftc.spec.codes._code import Code, Severity

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC487",
        title="source of which no row is trained on",
        cause="A source's weight is so small that its share of an epoch is less than a row, or all of its rows are "
        "evaluated or left out. The plan is stopped where this leaves no training row at all.",
        wrong="data:\n  source:\n    - {path: a.jsonl, weight: 1}\n    - {path: b.jsonl, weight: 0.0001}",
        right="data:\n  source:\n    - {path: a.jsonl, weight: 1}\n    - {path: b.jsonl, weight: 0.1}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC488",
        title="first line that looks like a row",
        cause="The first line of a CSV or TSV file names its columns. Where a file has no such line, its first row is "
        "read as names and lost, and columns can only be found by odd names. A line looks like a row where one of its "
        "cells occurs again below it, or is a number as all values below it are. `ftc init` names the columns then, "
        "unless a single number is all that says so, which may be a year. Of a file for `ftc predict`, `eval` or "
        "`drift` a remark says how its first line is read, where the run's own files have no header.",
        wrong="great film,positive\nbad film,negative\nfine film,positive",
        right="data: {source: {path: films.csv, columns: [text, label]}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC489",
        title="several labels in one cell",
        cause="Cells such as `billing;refund` or `['billing', 'refund']` hold several labels. For a task of one label "
        "a row each combination is a class of its own, and most combinations have few rows.",
        wrong="task: {kind: classification}  # labels are `billing`, `refund` and `billing;refund`",
        right="task: {kind: classification, multi_label: true, label_separator: ';'}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC490",
        title="classes that don't fit the data set's card",
        cause="The README.md of a data set on the hub, or its older `dataset_infos.json`, names the classes of a "
        "column whose values are something else, or both names and numbers; or it can't be read. Which class a value "
        "means is open, so that the column stays as it is.",
        wrong="text,label\ngreat film,positive\nbad film,0",
        right="text,label\ngreat film,positive\nbad film,negative",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC491",
        title="files of a folder that aren't read",
        cause="A folder means the data files in it. Files of other kinds, such as documents and archives, and data "
        "files of folders inside are no part of it, and neither is what a pattern matches and ftc doesn't read. "
        "READMEs, licenses, images, hidden files, and files that the recipe names elsewhere aren't reported.",
        wrong="data: {source: {path: shards}}  # some rows are in shards/2024/",
        right="data: {source: {path: 'shards/**/*.jsonl'}}",
        severity=Severity.WARNING,
    ),
)
