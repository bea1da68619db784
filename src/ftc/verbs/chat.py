"""`ftc chat RUN`: a conversation with a finished run's model and with its base. Nothing of it is kept anywhere."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.sampling import GREEDY, Sampling
from ftc.spec.heads import head_card
from ftc.spec.text_forms import form_card
from ftc.verbs.predict import usable_inputs
from ftc.verbs.runs import Run, find_run

if TYPE_CHECKING:
    from ftc.runtime.evaluation.chat import Writers
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.plan import Plan

__all__ = ["Chat", "Reply", "Subject", "open_chat"]

Subject = Literal["tuned", "base"]
"""Which model answers."""
Memory = Literal["turns", "history", "none"]
"""How a run's rows carry what was said before: as turns of a conversation, in a column of their own, or not at all."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answers to one line.

    Attributes:
        texts: What each model that was asked wrote.
        findings: Warnings, such as a line of which the models saw a part.
    """

    texts: Mapping[Subject, str]
    findings: tuple[Diagnostic, ...]


class Chat:
    """A conversation. Both models see the same turns: it goes on with the tuned model's answers where both are asked.

    Attributes:
        run: The run.
        system: What the system's turn says; None for what the run's rows and template say.
        sampling: How the words of answers are chosen.
        max_new_tokens: Longest answer in tokens; None for the run's own limit.
    """

    def __init__(self, run: Run, inputs: Inputs, writers: Writers) -> None:
        self.run = run
        self.sampling = GREEDY
        self.max_new_tokens: int | None = None
        self.system: str | None = None
        self._inputs, self._writers = inputs, writers
        self._exchanges: list[tuple[str, str]] = []
        self._seeds = random.Random()  # noqa: S311 - for words, not for secrets

    @property
    def memory(self) -> Memory:
        """How the models get what was said before."""
        from ftc.compiler.tokens.row_inputs import conversation_column

        if conversation_column(self.run.plan) is not None:
            return "turns"
        return "history" if "history" in self.run.plan.settings.text.columns else "none"

    @property
    def turns(self) -> int:
        """How many lines are remembered."""
        return len(self._exchanges)

    @property
    def needs_base(self) -> bool:
        """Whether the base has to be loaded beside the tuned model before it can answer."""
        return not self._writers.has_base

    def sample(self, sampling: Sampling) -> None:
        """Chooses words in another way from now on; a seed starts over."""
        self.sampling = sampling
        self._seeds = random.Random(sampling.seed)  # noqa: S311 - for words, not for secrets

    def load_base(self) -> None:
        """Loads the base beside the tuned model, if it needs to be; else the first line that it answers does."""
        self._writers.load_base()

    def say_system(self, text: str | None) -> None:
        """Replaces the system message.

        Raises:
            Refusal: The run has no place for one (FTC750).
        """
        _refuse_system(self.run, text)
        self.system = text

    def reset(self) -> None:
        """Forgets what was said."""
        self._exchanges.clear()

    def ask(
        self,
        line: str | Mapping[str, Any],
        subjects: Sequence[Subject],
        say: Callable[[Subject, str], None] = lambda subject, part: None,
    ) -> Reply:
        """Answers to one line, model by model.

        Args:
            line: What is said, or a row with the columns of the run's input.
            subjects: Which models answer, in this order.
            say: Called with each part of an answer as it is written.

        Raises:
            Refusal: A row has several inputs and this is a text (FTC688), or the model can't be given it (FTC751).
            KeyboardInterrupt: Somebody asked to stop; the line is forgotten.
        """
        from ftc.compiler.resolve.rows.table import Table
        from ftc.compiler.tokens.unlabeled_rows import compile_unlabeled

        row, plan = self._row(line), self._plan()
        table = Table("the input", tuple(row), [row])
        seed, texts = self._seeds.getrandbits(63), dict[Subject, str]()
        with tempfile.TemporaryDirectory(prefix="ftc-chat-") as scratch:
            folder = self._inputs.model_folder
            asked = compile_unlabeled(plan, folder, table, Path(scratch), max_new_tokens=self.max_new_tokens)
            if asked.plan is None:
                why = asked.problems.get(0, "it gives no tokens")
                raise Refusal([diagnostic("FTC751", "this can't be answered", notes=why, help=self._ways_out(line))])
            for subject in subjects:
                texts[subject] = self._writers.write(
                    asked.plan,
                    Path(scratch),
                    base=subject == "base",
                    sampling=self.sampling,
                    seed=seed,
                    say=lambda part, subject=subject: say(subject, part),  # type: ignore[misc]
                )
        if isinstance(line, str) and texts:
            self._exchanges.append((line, texts.get("tuned", next(iter(texts.values())))))
        most, help = plan.settings.text.max_length, "shorten it, or train with a larger `data.max_length`"
        words = f"the text is longer than {most:,} tokens and was truncated"
        return Reply(texts, (diagnostic("FTC691", words, help=help),) if asked.cut else ())

    def _ways_out(self, line: str | Mapping[str, Any]) -> list[str]:
        """What helps where the model can't be given a line."""
        if not isinstance(line, str):
            return ["change the row: it has to be as the run's rows are, and as short"]
        ways = ["`/reset` forgets what was said before"] if self.memory != "none" and self._exchanges else []
        ways += (
            ["ask for shorter answers: `--max-new-tokens` takes its room from the text"] if self.max_new_tokens else []
        )
        return [*ways, "write a shorter text, or another one"]

    def _plan(self) -> Plan:
        """The run's plan; a system message of the chat takes the place of the recipe's."""
        plan = self.run.plan
        text = plan.settings.text
        if self.system is None or self.memory == "turns" or "system" in text.columns:
            return plan  # each row has its own
        text = text.model_copy(update={"system": self.system})
        return plan.model_copy(update={"settings": plan.settings.model_copy(update={"text": text})})

    def _row(self, line: str | Mapping[str, Any]) -> dict[str, Any]:
        """A line as a row; one that is given as a row is answered as it is."""
        from ftc.compiler.tokens.row_inputs import as_row

        if not isinstance(line, str):
            return dict(line)
        columns, row = self.run.plan.settings.text.columns, dict(as_row(self.run.plan, line))
        if self.system is not None and "system" in columns:
            row[columns["system"]] = self.system
        match self.memory:
            case "none":
                pass
            case "history":
                row[columns["history"]] = [list(one) for one in self._exchanges]
            case "turns":
                ((name, turns),) = ((name, value) for name, value in row.items() if isinstance(value, list))
                first = [] if self.system is None or "system" in columns else [("system", self.system)]
                said = (
                    pair for exchange in self._exchanges for pair in zip(("user", "assistant"), exchange, strict=True)
                )
                row[name] = [*({"role": role, "content": text} for role, text in (*first, *said)), *turns]
            case _:
                assert_never(self.memory)
        return row


def open_chat(
    run: Run | Path | str,
    *,
    system: str | None = None,
    sampling: Sampling = GREEDY,
    max_new_tokens: int | None = None,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> Chat:
    """Loads the model of a finished run for a conversation.

        chat = ftc.open_chat("7f3a2b")
        chat.ask("Where is my parcel?", ["tuned", "base"]).texts["tuned"]

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        system: What the system's turn says; None for what the run's rows and template say.
        sampling: How the words of answers are chosen.
        max_new_tokens: Longest answer in tokens; None for the run's own limit.
        on_event: Called with each event while a model is loaded.
        folder: Any folder of the project in which a name is looked up.

    Raises:
        Refusal: The run's model writes no text (FTC750), the run has no result, or its base model isn't here (FTC687),
            or the weights changed (FTC630).
    """
    found = run if isinstance(run, Run) else find_run(str(run), folder)
    settings = found.plan.settings
    if not head_card(settings.model.head).writes:
        kind = found.plan.recipe.task.kind.replace("_", " ")
        summary = f"run `{found.record.id}` is trained for {kind} and writes no text"
        help = f'`ftc predict {found.record.id} "TEXT"` shows its prediction for a text'
        raise Refusal([diagnostic("FTC750", summary, help=help)])
    _refuse_system(found, system)
    from ftc.compiler.audit.locate import companion_folders

    # The base of a run that continues an adapter has that beside its weights.
    inputs = replace(usable_inputs(found), companions=companion_folders(found.plan, found.root))
    from ftc.runtime.evaluation.chat import Writers
    from ftc.spec.storage.paths import RunFolder

    listen = on_event or (lambda event: None)
    chat = Chat(found, inputs, Writers(found.plan, inputs, RunFolder(found.folder), found.record, listen))
    chat.system, chat.max_new_tokens = system, max_new_tokens
    chat.sample(sampling)
    return chat


def _refuse_system(run: Run, text: str | None) -> None:
    """Lets pass a system message that the run's rows have a place for.

    Raises:
        Refusal: FTC750.
    """
    if text is not None and form_card(run.plan.settings.text.form).is_self_supervised:
        summary = f"run `{run.record.id}` continues texts; there is no place for a system message"
        raise Refusal([diagnostic("FTC750", summary, help="put it into the text")])
