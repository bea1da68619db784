"""A Modelfile for Ollama, whose template is derived from the model's own and compared with it.

Ollama writes conversations out by a Go template, and guesses one where a file brings none it knows. What a chat
template puts around each turn is found by rendering conversations of marks. A template that is more than the sum of
such parts, such as one that shortens earlier answers, can't be said like this, and is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["CONVERSATIONS", "SPACED", "Message", "Parts", "Render", "modelfile", "parts_of"]

Message = Mapping[str, str]
Render = Callable[[Sequence[Message], bool], str | None]
"""What a chat template makes of a conversation, with the beginning of an answer behind it or not; None if it can't."""

_SYSTEM, _USER, _ANSWER, _AGAIN = "qzsystemzq", "qzuserzq", "qzanswerzq", "qzagainzq"


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


@dataclass(frozen=True, slots=True)
class Parts:
    """What a chat template puts around the turns of a conversation.

    Attributes:
        bare: Text before the first turn where no system message is given, such as a usual one.
        before: Text before the content of a turn, by its role; before a system message all that stands there.
        after: Text behind it.
    """

    bare: str
    before: Mapping[str, str]
    after: Mapping[str, str]

    def without_first(self, token: str) -> Parts:
        """The same for a program that puts the first token before each text by itself."""
        before = dict(self.before)
        if "system" in before:
            before["system"] = before["system"].removeprefix(token)
        bare = self.bare.removeprefix(token)
        return Parts(bare, before, self.after) if bare != self.bare else self

    def text(self, messages: Sequence[Message], generation: bool) -> str:
        """A conversation as the template of `modelfile` writes it out."""
        begins = "" if messages and messages[0]["role"] == "system" else self.bare
        turns = [self.before[one["role"]] + one["content"] + self.after[one["role"]] for one in messages]
        return begins + "".join(turns) + (self.before["assistant"] if generation else "")


def parts_of(render: Render) -> Parts | None:
    """The parts of a chat template; None where it is no sum of parts."""
    system, user, answer, again = (
        _said("system", _SYSTEM),
        _said("user", _USER),
        _said("assistant", _ANSWER),
        _said("user", _AGAIN),
    )
    asked = render([user], False), render([user], True), render([user, answer], False)
    more, whole = render([user, answer, again], False), render([system, user], False)
    if None in (*asked, more) or not all(text.count(_USER) == 1 for text in asked if text is not None):
        return None
    plain, opened, answered = (str(text) for text in asked)
    before_user, _, after_user = plain.partition(_USER)
    if not opened.startswith(plain) or not answered.startswith(opened + _ANSWER):
        return None
    before_answer, after_answer = opened[len(plain) :], answered[len(opened + _ANSWER) :]
    between = str(more)[len(answered) :].partition(_AGAIN)[0]
    if not before_user.endswith(between) or str(more) != f"{answered}{between}{_AGAIN}{after_user}":
        return None
    bare = before_user[: len(before_user) - len(between)]
    before = {"user": between, "assistant": before_answer}
    after = {"user": after_user, "assistant": after_answer}
    if whole is not None:
        start, _, rest = whole.partition(_SYSTEM)
        behind = rest.partition(_USER)[0]
        if not behind.endswith(between):
            return None
        before["system"], after["system"] = start, behind[: len(behind) - len(between)]
    return Parts(bare, before, after)


CONVERSATIONS: tuple[tuple[tuple[Message, ...], bool], ...] = tuple(
    (tuple(_said(role, content) for role, content in turns), turns[-1][0] == "user")
    for turns in (
        (("user", "What is two and two?"),),
        (("system", "Answer briefly."), ("user", "One?")),
        (("user", "One?"), ("assistant", "1"), ("user", "Two?")),
        (("system", "Be kind."), ("user", "One?"), ("assistant", "1"), ("user", "Two?"), ("assistant", "2")),
        (("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e")),
        (("user", "{{ x }} {% if y %} \"quoted\" 'single' \\n <b>&amp;</b>"),),
        (("system", "{{ .Content }}"), ("user", "two\nlines\n\nand a tab\there")),
        (("user", "ünïcödé 日本語 👩‍👩‍👧 \u200b"), ("assistant", "ﬁne ½"), ("user", "`code` $x$ ```")),
    )
)
"""Conversations on which both templates have to give one text, each with whether an answer is begun."""


SPACED: tuple[tuple[Message, ...], bool] = ((_said("user", "  spaces kept?  \n"),), True)
"""A conversation whose white space many templates trim, which no template of Ollama's does."""


def modelfile(file: str, parts: Parts | None, *, system: str | None, stops: Sequence[str], context: int) -> str:
    """The text of a Modelfile: the template, and what makes Ollama answer as the run was measured.

    Args:
        file: Name of the GGUF file beside it.
        parts: Of the chat template; None for a model that reads plain prompts.
        system: The recipe's own system message; None where it has none.
        stops: Texts of the tokens that end an answer.
        context: Most tokens of a prompt with its answer.
    """
    template = "{{ .Prompt }}" if parts is None else _go_template(parts)
    lines = [f"FROM ./{file}", f'TEMPLATE """{template}"""']
    if system is not None:
        lines.append(f'SYSTEM """{system}"""')
    settings = {"temperature": "0", "top_k": "1", "repeat_penalty": "1", "num_ctx": str(context)}
    lines += [f"PARAMETER {name} {value}" for name, value in settings.items()]
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops]
    return "\n".join(lines) + "\n"


def _go_template(parts: Parts) -> str:
    """Text stands in quotes inside actions, so that no white space is trimmed and no brace means anything."""
    turns = "".join(
        f'{{{{ {"else if" if number else "if"} eq .Role "{role}" }}}}'
        f"{_quoted(parts.before[role])}{{{{ .Content }}}}{_quoted(parts.after[role])}"
        for number, role in enumerate(parts.before)
    )
    bare = f'{{{{ if ne (index .Messages 0).Role "system" }}}}{_quoted(parts.bare)}{{{{ end }}}}' if parts.bare else ""
    return f"{bare}{{{{ range .Messages }}}}{turns}{{{{ end }}}}{{{{ end }}}}{_quoted(parts.before['assistant'])}"


def _quoted(text: str) -> str:
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""
