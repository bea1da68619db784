"""What `ftc run export` says of a model that it wrote. Pure functions."""

from __future__ import annotations

from ftc.spec.documents.exported import AnswersKept, ExportedModel, Parity
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped

__all__ = ["exported_text", "parity_words"]


def exported_text(model: ExportedModel, folder: str, *, page: Page = PLAIN) -> str:
    """The answer of the verb.

    Args:
        model: What was made.
        folder: Its folder as the user typed it.
        page: Width and colors.
    """
    file = model.files[model.model_file]
    types = [f"{count} {name}" for name, count in sorted(model.tensor_types.items(), key=lambda one: -one[1])]
    lines = [
        *page.flow("exported", [f"run {page.strong(model.run_id)} of {escaped(model.name)}", model.format]),
        *page.flow("converter", [f"{model.converter.name} {model.converter.version}"]),
        *page.flow("agrees", parity_words(model.parity)),
        *page.flow("tokenizer", [f"{numbers.plural(model.tokenized, 'row')} become the run's own tokens"]),
    ]
    if model.answers is not None:
        lines += _answers(model.answers, page)
    if model.template is not None:
        chats = numbers.plural(model.template.conversations, "conversation")
        rows = f" and {numbers.plural(model.template.rows, 'row')} of {model.parity.split}"
        lines += page.flow("template", [f"same text as by the model's own, for {chats}{rows}"])
    lines += [
        *page.flow("weights", [numbers.byte_size(file.size), f"tensors: {', '.join(types)}"]),
        *page.flow("files", [escaped(folder), numbers.plural(len(model.files) + 1, "file")]),
        *[line for note in model.notes for line in page.flow("note", [note])],
        *(page.flow("serve", [escaped(command)]) if (command := model.serve(folder)) else ()),
    ]
    return "\n".join(lines) + "\n"


def parity_words(found: Parity) -> tuple[str, ...]:
    """How far the file says what the tuned model says, in parts."""
    return (
        (
            f"on {numbers.plural(found.rows, 'row')} of {found.split} the scores differ by at most "
            f"{found.largest_difference:.2g}, {100 * found.share:.2g} % of their range"
        ),
        f"{100 * found.allowed:.2g} % is allowed",
        f"{found.same_choices} of {found.places} choices the same",
        found.runtime,
    )


def _answers(found: AnswersKept, page: Page) -> list[str]:
    lines = []
    if found.same_answers is not None:
        lines += page.flow("answers", [f"{found.same_answers} of {found.rows} the same, to rows of {found.split}"])
    for name, value in found.exported.items():
        change = found.changes[name]
        sure = f" ({change.interval.low:+.3f} to {change.interval.high:+.3f})" if change.interval else ""
        lines += page.flow("", [f"{name} {value:.3f}", f"tuned {found.tuned[name]:.3f}", f"{change.value:+.3f}{sure}"])
    for gate in found.gates:
        word = "holds" if gate.passed else "failed, waived"
        lines += page.flow("gate", [f"{escaped(gate.metric)} {gate.bound}: {word}"])
    return lines
