"""Rules that need facts about a teacher; `ftc.compiler.passes.check_facts` runs them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftc.compiler.draft import Draft
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.divergences import DIVERGENCES, divergence_card
from ftc.spec.documents.facts import ModelFacts, TeacherFacts
from ftc.spec.heads import HEADS, HeadCard, head_card
from ftc.spec.language.safe_repr import quoted
from ftc.spec.text_forms import form_card

__all__ = [
    "TEACHER_RULES",
    "answers_can_be_judged",
    "ranks_can_be_compared",
    "teacher_knows_the_task",
    "teacher_reads_the_rows",
    "teacher_speaks_the_same",
]


_SECTION = "train.distillation"
_TEACHER = f"{_SECTION}.teacher"
_OTHER_HEADS = re.compile(f"({'|'.join([card.class_suffix for card in HEADS if card.is_new])}|ForMultipleChoice)$")
_OUTPUT_LAYERS = ("lm_head", "embed_out", "output_projection")


def teacher_speaks_the_same(draft: Draft) -> Iterator[Diagnostic]:
    """The teacher has the base model's tokenizer, is another model, and a folder has no revision."""
    asked, teacher = draft.recipe.train.distillation, draft.teacher
    if asked is None or teacher is None:
        return
    if teacher.other_tokens is not None and not divergence_card(asked.loss).by_rank:
        ways = ["choose a teacher from the base model's family, or a base model from the teacher's"]
        if asked.writing is None:  # which knows the base model's tokens alone
            ranks = " or ".join(f"`loss: {card.kind}`" for card in DIVERGENCES if card.by_rank)
            ways.append(f"write {ranks}, which compares probabilities by their rank")
        summary = f"the teacher `{teacher.model.name}` has a different tokenizer than the base model"
        yield _found(draft, "FTC281", summary, help=tuple(ways), notes=teacher.other_tokens)
    weights = _weight_files(draft.model)
    if weights and weights == _weight_files(teacher.model):
        help = "name a better model as teacher, or remove `distillation`"
        yield _found(draft, "FTC283", "the teacher has the same weights as the base model", help=help)
    if asked.quantization is not None and teacher.model.experts is not None:
        path, help = f"{_SECTION}.quantization", "remove `quantization`, or choose a dense teacher"
        yield _found(draft, "FTC268", "the experts of the teacher can't be quantized", help=help, at=path)
    elif asked.quantization is not None and teacher.model.quantized_files is not None:
        path, help = f"{_SECTION}.quantization", "remove `quantization`, or choose the unquantized teacher"
        summary = "the teacher's files hold quantized weights, which can't be quantized once more"
        yield _found(draft, "FTC313", summary, help=help, at=path)
    if teacher.model.source == "local" and asked.revision is not None:
        path, help = f"{_SECTION}.revision", "remove `revision`; the lock pins a folder by its files"
        summary = f"`revision` has no effect: `{asked.teacher}` is a folder"
        yield _found(draft, "FTC230", summary, help=help, at=path)


def teacher_knows_the_task(draft: Draft) -> Iterator[Diagnostic]:
    """The teacher has the run's head, with weights for it, and its labels."""
    teacher = draft.teacher
    if teacher is None:
        return
    head = head_card(draft.loaded.head)
    if fault := _of_head(teacher, head, draft.model):
        help = "fine-tune one first: the `model` folder of a run with `strategy: {kind: full}` can be a teacher"
        summary = f"the teacher `{teacher.model.name}` has no head for this task: {fault}"
        yield _found(draft, "FTC282", summary, help=help)
    elif head.is_labeled and (fault := _of_labels(teacher.labels, draft.labels)):
        wanted = ", ".join(map(quoted, draft.labels[:12])) + (", …" if len(draft.labels) > 12 else "")
        help = f"if it was trained on these labels, add them under `id2label` in its config.json: {wanted}"
        yield _found(draft, "FTC282", f"the teacher's labels differ from the task's: {fault}", help=help)


def teacher_reads_the_rows(draft: Draft) -> Iterator[Diagnostic]:
    """The longest row has a place for each token in the teacher."""
    teacher = draft.teacher
    longest = draft.splits["train"].length_max
    if teacher is None or teacher.model.max_positions is None or longest <= teacher.model.max_positions:
        return
    if draft.teacher_reads_apart:  # FTC348 names rows that are too long in its own tokens
        return
    most = teacher.model.max_positions
    summary = f"the longest row has {longest:,} tokens, but the teacher reads at most {most:,}"
    yield _found(draft, "FTC284", summary, help=f"write `data: {{max_length: {most}}}`, or choose another teacher")


def ranks_can_be_compared(draft: Draft) -> Iterator[Diagnostic]:
    """Probabilities by rank are of tokens; with another tokenizer there are answers behind prompts to align them by."""
    asked, path = draft.recipe.train.distillation, f"{_SECTION}.loss"
    if asked is None or not divergence_card(asked.loss).by_rank:
        return
    kind = draft.recipe.task.kind.replace("_", " ")
    help = "choose another loss: " + ", ".join(f"`{card.kind}`" for card in DIVERGENCES if not card.by_rank)
    if not head_card(draft.loaded.head).writes:
        why = f"`{asked.loss}` compares vocabularies, and a {kind} task has classes"
        yield _found(draft, "FTC280", why, help=help, at=path)
    elif draft.teacher_reads_apart and asked.writing is not None:
        key = "on_policy" if asked.on_policy is not None else "seq_kd"
        why = "answers are written in tokens that a teacher with another tokenizer doesn't have"
        yield _found(draft, "FTC446", why, help=f"remove `{key}`", at=f"{_SECTION}.{key}")
    elif draft.teacher_reads_apart and draft.taught_sha256 is None:
        why = f"rows of a {kind} task have no answers by which the teacher's tokens could be aligned"
        yield _found(draft, "FTC280", why, help="choose a teacher with the base model's tokenizer", at=_TEACHER)


def answers_can_be_judged(draft: Draft) -> Iterator[Diagnostic]:
    """Where prompts are answered, rows have prompts and the model writes."""
    asked = draft.recipe.train.distillation
    if asked is None or asked.writing is None:
        return
    key = "on_policy" if asked.on_policy is not None else "seq_kd"
    if not head_card(draft.loaded.head).writes or form_card(draft.text.form).is_self_supervised:
        kind = draft.recipe.task.kind.replace("_", " ")
        why = f"`{key}` needs prompts that the {asked.writing.by} answers, and a {kind} task has none"
        yield _found(draft, "FTC280", why, help=f"remove `{key}`", at=f"{_SECTION}.{key}")


def _of_head(teacher: TeacherFacts, head: HeadCard, student: ModelFacts) -> str:
    """Why a teacher hasn't the head; empty where it has."""
    model = teacher.model
    name = quoted(model.architecture or "none")
    if not head.is_new:
        if model.family != student.family or _OTHER_HEADS.search(model.architecture):
            return f"its class is {name}, the base model's class is {quoted(student.architecture)}"
        stored = any(f"{layer}.weight" in model.tensors for layer in _OUTPUT_LAYERS)
        return "" if model.tied_embeddings or stored else "it has no weights for an output layer"
    if not model.architecture.endswith(head.class_suffix):
        return f"its class is {name}, which does not end in `{head.class_suffix}`"
    problems = {card.problem_type for card in HEADS} if head.problem_type else set()
    if teacher.problem in problems - {None, head.problem_type}:
        return f"its `problem_type` is `{teacher.problem}`"
    outputs = [header.shape[0] for name, header in model.tensors.items() if re.fullmatch(head.last_layer, name)]
    wanted = head.num_outputs(len(teacher.labels))
    return "" if wanted in outputs else f"it has no layer with {wanted} outputs"


def _of_labels(has: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """How the teacher's labels differ; empty where they are the same, in whatever order."""
    lacking = [label for label in wanted if label not in has]
    more = [label for label in has if label not in wanted]
    if lacking:
        return f"it lacks {quoted(lacking[0])}" + (f" and {len(lacking) - 1} more" if len(lacking) > 1 else "")
    return f"it also has {quoted(more[0])}" if more else ""


def _weight_files(model: ModelFacts) -> set[str]:
    return {file.sha256 for name, file in model.files.items() if name.endswith(".safetensors")}


def _found(
    draft: Draft, code: str, summary: str, *, help: str | tuple[str, ...], notes: str = "", at: str = _TEACHER
) -> Diagnostic:
    return diagnostic(code, summary, draft.source.span(at), help=help, notes=(notes,) if notes else (), path=at)


TEACHER_RULES = (
    teacher_speaks_the_same,
    teacher_knows_the_task,
    teacher_reads_the_rows,
    answers_can_be_judged,
    ranks_can_be_compared,
)
"""In the order in which they are reported."""
