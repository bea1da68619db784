"""Codes 350 to 379, data files, their rows and how these are divided."""

from ftc.spec.codes._code import Code, Severity

CODES: tuple[Code, ...] = (
    Code(
        id="FTC350",
        title="data file not found",
        cause="A path in the recipe is relative to the recipe's own folder, and no file is there.",
        wrong="data: {source: {path: row.jsonl}}",
        right="data: {source: {path: rows.jsonl}}",
    ),
    Code(id="FTC351", title="data file can't be read", cause="The file is there, but the system refuses to open it."),
    Code(
        id="FTC352",
        title="data file of unknown kind",
        cause="The suffix tells how a file is read: JSON lines, CSV, TSV, Parquet or Arrow.",
        wrong="data: {source: {path: rows.xlsx}}",
        right="data: {source: {path: rows.csv}}",
    ),
    Code(
        id="FTC353",
        title="data file's content is of another kind",
        cause="The file's first bytes show an archive, a pickle or another format than its suffix says. Archives are "
        "never opened and pickles never read, since they can run code.",
    ),
    Code(
        id="FTC354",
        title="data file is not UTF-8",
        cause="Text in another encoding would be read as wrong characters, which nobody notices in a loss.",
    ),
    Code(
        id="FTC355",
        title="row can't be read",
        cause="A line of the file is cut off or broken; the place and the reader's reason are given.",
        wrong='{"text": "half a ro',
        right='{"text": "half a row", "label": "a"}',
    ),
    Code(
        id="FTC356",
        title="row is no object",
        cause="Every row names its columns; a bare list or text has none.",
        wrong='["good film", "positive"]',
        right='{"text": "good film", "label": "positive"}',
    ),
    Code(
        id="FTC357",
        title="row has another number of fields than the header",
        cause="Most often a comma or a line break inside a field is not quoted.",
        wrong="text,label\nwell, good,positive",
        right='text,label\n"well, good",positive',
    ),
    Code(id="FTC358", title="column without a name of its own", cause="A header names a column twice or not at all."),
    Code(id="FTC359", title="data file holds no rows", cause="The file is empty, or holds nothing but a header."),
    Code(
        id="FTC360",
        title="column of a kind that can't be read",
        cause="A column of a Parquet or Arrow file holds something that is no text, number, list or object of these.",
    ),
    Code(
        id="FTC362",
        title="column is missing",
        cause="The task, or the prompt's template, needs a column that the file does not have.",
        wrong="data: {fields: {text: mesage}}",
        right="data: {fields: {text: message}}",
    ),
    Code(
        id="FTC363",
        title="value of the wrong type",
        cause="A column that the task reads as text, label or conversation holds something else in some rows.",
    ),
    Code(
        id="FTC364",
        title="value is empty",
        cause="An empty text or answer teaches nothing, and a set full of them trains to a loss of nothing.",
    ),
    Code(
        id="FTC365",
        title="conversation is out of shape",
        cause="Chat templates expect an optional system turn, then user and assistant in turn; they refuse other "
        "orders or leave turns out in silence.",
    ),
    Code(
        id="FTC366",
        title="conversation does not end with an answer",
        cause="Only the assistant's turns are learnt, so what follows the last of them is wasted.",
    ),
    Code(
        id="FTC367",
        title="conversation in the ShareGPT form",
        cause="Turns are written with `from` and `value`; ftc reads `role` and `content`.",
        wrong='{"conversations": [{"from": "human", "value": "Hi"}]}',
        right='{"messages": [{"role": "user", "content": "Hi"}]}',
    ),
    Code(
        id="FTC370",
        title="row is trained on and measured",
        cause="The same row stands in the training file and in the validation or test file, so the measurement would "
        "flatter the model.",
    ),
    Code(
        id="FTC371",
        title="part of the data is empty",
        cause="The share is so small, or the data so few, that a part would have no row.",
        wrong="data: {split: {test: 0.01}}  # of 20 rows",
        right="data: {split: {test: 0.1}}",
    ),
    Code(
        id="FTC372",
        title="label that is never learnt",
        cause="Validation or test rows have a label that no training row has, or that `task.labels` does not list.",
    ),
    Code(
        id="FTC373",
        title="copies of rows",
        cause="Rows with the same content are kept in one part, but weigh more than others in training.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC374",
        title="only one class",
        cause="With a single label there is nothing to tell apart; often the wrong column plays the label.",
    ),
    Code(
        id="FTC375",
        title="class without training rows",
        cause="A class of `task.labels` has an output of the head, but no training row shows what it means.",
        wrong='task: {kind: classification, labels: [ham, spam, scam]}  # no row says "scam"',
        right="task: {kind: classification, labels: [ham, spam]}",
        severity=Severity.WARNING,
    ),
)
