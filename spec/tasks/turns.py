"""Which turns of a conversation are trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ftc.spec.tasks.rows import TRAIN_MARK

__all__ = ["Role", "TrainOn", "trained_turns"]

Role = Literal["system", "user", "assistant", "tool"]
TrainOn = Literal["assistant", "last", "all"] | Annotated[tuple[Role, ...], Field(min_length=1)]
"""The assistant's turns, the last of them, every token, or the turns of roles."""


def trained_turns(messages: Sequence[Mapping[str, Any]], train_on: TrainOn) -> tuple[int, ...]:
    """Positions of the turns whose text is trained on, but for `all`, which needs no positions and has none.

    A turn that is marked as context is never among them.
    """
    if train_on == "all":
        return ()
    roles = ("assistant",) if isinstance(train_on, str) else train_on
    found = [
        number
        for number, message in enumerate(messages)
        if message["role"] in roles and message.get(TRAIN_MARK) is not False
    ]
    return tuple(found[-1:] if train_on == "last" else found)
