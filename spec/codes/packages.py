"""Codes 480 to 486: what packages of others offer."""

from ftc.spec.codes._code import Code
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC480",
        title="package that is not installed",
        cause="The recipe names what a package offers, such as a metric or a loss. ftc installs nothing, and a run "
        "would execute the package's code, so that installing it is your decision. The folder in which ftc was started "
        "does not count as an installation.",
        wrong="eval: {metrics: ['courtesy-metrics:courtesy']}  # not installed",
        right="pip install courtesy-metrics && ftc plan recipe.yaml",
    ),
    Code(
        id="FTC481",
        title="name that a package does not offer",
        cause="A package declares what it offers as entry points of groups such as `ftc.metrics`, and its metadata "
        "list them. The installed release has none of that name in the group.",
        wrong="task: {kind: generation, prompt: '{{ text }}'}\neval: {metrics: ['courtesy-metrics:courtsey']}",
        right="task: {kind: generation, prompt: '{{ text }}'}\neval: {metrics: ['courtesy-metrics:courtesy']}",
    ),
    Code(
        id="FTC482",
        title="package whose files can't be locked",
        cause="A lock pins every file of a package that a run imports. Python would import other files than those that "
        "the package's list names: it is installed in editable mode, or another module of that name comes first.",
        wrong="pip install -e ./courtesy-metrics",
        right="pip install ./courtesy-metrics",
    ),
    Code(
        id="FTC483",
        title="value that a package may not give",
        cause="A function of a package raised an exception, can't be imported, or returned something else than a "
        "finite number; a metric's value lies between 0 and 1. A loss returns one number for each target, computed "
        "from this target's scores alone, through which gradients flow. A run ends here rather than guess. The "
        "checkpoint is intact.",
        wrong="def courtesy(answer, references): return 7",
        right="def courtesy(answer, references): return 0.7",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC484",
        title="loss of a package that has no place",
        cause="A package's loss takes the place of the cross entropy: each target has scores, over a vocabulary or the "
        "labels of a new head, and one right choice or set of labels. Losses of whole answers, of vectors, numbers and "
        "positions are something else, and two changes of the same cross entropy exclude each other.",
        wrong="task: {kind: preference}\ntrain: {loss: 'courtesy-metrics:bounded'}",
        right="task: {kind: chat}\ntrain: {loss: 'courtesy-metrics:bounded'}",
    ),
    Code(
        id="FTC485",
        title="rows that a package's reader does not give",
        cause="The reader of a package raised an exception, took longer than half an hour, or gave something else than "
        "rows. A row is a mapping from names to values that JSON has: text, numbers, true, false, null, lists and "
        "objects. Where the reader, or the error of a parser, names a line, the finding has it.",
        wrong="def tickets(path): yield {'opened': date.today()}",
        right="def tickets(path): yield {'opened': date.today().isoformat()}",
    ),
    Code(
        id="FTC486",
        title="key that has no effect on how a file is read",
        cause="`delimiter`, `columns`, `decimal` and `sheet` say how ftc reads a file. A row reader of a package reads "
        "the file by itself; only CSV and TSV files have delimiters, decimal commas or no names of columns, and only "
        "workbooks have sheets.",
        wrong="data: {source: {path: tickets.txt, reader: 'courtesy-metrics:tickets', delimiter: '|'}}",
        right="data: {source: {path: tickets.txt, reader: 'courtesy-metrics:tickets'}}",
    ),
)
