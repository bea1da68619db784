"""A finished run's model and its base in a conversation: one answer at a time, passed on as it is written.

What is heavy is imported where it is used, since memory and threads are configured before torch is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.runtime.evaluation.evaluate_again import reopened
from ftc.runtime.execution.execute import Inputs
from ftc.spec.documents.events import EventListener
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.sampling import Sampling
from ftc.spec.storage.paths import RunFolder

if TYPE_CHECKING:
    from ftc.runtime.execution.session import Session
    from ftc.runtime.tasks.scorer import ModelWithScorer

__all__ = ["Writers"]


class Writers:
    """The tuned model and its base. An adapter is switched off for the base; other bases are loaded when first asked.

    Args:
        plan: The run's plan.
        inputs: Where its base model lies.
        run: The run's folder.
        record: The run's record.
        listen: Called with each event while a model is loaded.

    Raises:
        Refusal: The weights are not those of the record, or the base model isn't the plan's.
        KeyboardInterrupt: Somebody asked to stop.
    """

    def __init__(self, plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, listen: EventListener) -> None:
        from ftc.runtime.artifacts.export import load_exported
        from ftc.runtime.execution.verify import verify_model
        from ftc.spec.documents.decoded import TextDecoder
        from ftc.spec.storage.own_tokenizer import tokenizer_folder

        self._plan, self._inputs, self._run, self._record, self._listen = plan, inputs, run, record, listen
        self._base: ModelWithScorer | None = None
        self._decode = TextDecoder(tokenizer_folder(inputs.model_folder, plan.settings.model.tokenizer))
        with reopened(plan, replace(inputs, companions={}), run, record, listen) as session:
            with session.journal.phase("verify", f"{len(plan.lock.model.files)} files"):
                verify_model(plan, inputs)
            self._tuned = session.build()
            load_exported(session, self._tuned.model)

    @property
    def has_base(self) -> bool:
        """Whether the base can answer without another model in memory."""
        keeps_base = self._plan.settings.begins_as_base
        return self._base is not None or (keeps_base and hasattr(self._tuned.model, "disable_adapter"))

    def load_base(self) -> None:
        """Loads the base beside the tuned model, where that is needed."""
        if not self.has_base:
            from ftc.runtime.execution.verify import verify_parent

            verify_parent(self._plan, self._inputs)
            with reopened(self._plan, self._inputs, self._run, self._record, self._listen) as session:
                self._base = session.build()

    def write(
        self, asked: Plan, streams: Path, *, base: bool, sampling: Sampling, seed: int, say: Callable[[str], None]
    ) -> str:
        """What a model writes behind the only row of a plan's test split.

        Args:
            asked: The plan with that row.
            streams: Where its stream lies.
            base: Whether the base answers, in place of the tuned model.
            sampling: How tokens are chosen.
            seed: Of this answer, where they are drawn.
            say: Called with each part of the answer as it is written.

        Raises:
            KeyboardInterrupt: Somebody asked to stop.
        """
        model: Any = self._tuned.model
        switched: AbstractContextManager[Any] = nullcontext()
        if base:
            self.load_base()
            if self._base is not None:
                model = self._base.model
            elif self._plan.settings.strategy.traits.num_virtual:  # they come before the base, which is as it was
                model = model.get_base_model()
            else:
                switched = model.disable_adapter()
        inputs = Inputs(self._inputs.model_folder, streams, self._inputs.environment)
        with reopened(asked, inputs, self._run, self._record, lambda event: None) as session:
            return _answer(session, model, switched, self._decode, sampling, seed, say)


def _answer(
    session: Session,
    model: Any,
    switched: AbstractContextManager[Any],
    decode: Callable[[list[int]], str],
    sampling: Sampling,
    seed: int,
    say: Callable[[str], None],
) -> str:
    import torch

    from ftc.runtime.evaluation.generate import one_answer
    from ftc.runtime.evaluation.scoring import eval_mode
    from ftc.runtime.evaluation.shortcuts import faster_linears

    rows = session.stream("test")
    assert rows is not None, "there is a row to answer"
    streamer = _Streamer(decode, session.plan.settings.model.stop_ids, session.stop.check, say)
    with eval_mode(model), faster_linears(model), switched, session.writing():
        torch.manual_seed(seed)
        one_answer(model, rows, session.plan.settings, sampling, streamer, session.accelerator.device)
    return streamer.finish()


class _Streamer:
    """A streamer of transformers: takes tokens as `generate` writes them, and passes on what is whole of their text."""

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        stops: tuple[int, ...],
        check: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._decode, self._stops, self._check, self._say = decode, stops, check, say
        self._ids: list[int] = []
        self._said = ""
        self._is_prompt = True

    def put(self, ids: Any) -> None:
        """Takes the prompt, which comes first, or one more token.

        Raises:
            Interrupted: Somebody asked to stop.
        """
        self._check()
        if self._is_prompt:
            self._is_prompt = False
            return
        self._ids += [one for one in ids.flatten().tolist() if one not in self._stops]
        text = self._decode(self._ids)
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # the rest of a character may still come
            self._pass_on(text)

    def end(self) -> None:
        """Nothing more comes."""

    def finish(self) -> str:
        """The whole answer; what was not yet passed on is."""
        text = self._decode(self._ids)
        self._pass_on(text)
        return text

    def _pass_on(self, text: str) -> None:
        if text.startswith(self._said) and text != self._said:
            self._say(text[len(self._said) :])
            self._said = text
