"""Conversations and prompts as text, with the stretches that are supervised.

A turn of the assistant is supervised from the end of the rendering of what came before it, generation prompt
included, to the end of the stop token after it. That first rendering must be a prefix of the whole text: then the
model is trained on exactly what it will see when it generates. Where it isn't, as in templates that drop earlier
reasoning, the turn isn't supervised and is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, TypeGuard
from ftc.compiler.tokens.forms import PromptForm
from ftc.compiler.tokens.opacity import copies_messages, copies_variables, used_names
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer
from ftc.compiler.tokens.skeleton import Place, Skeleton, marks_for
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import ChatForm, PromptForm
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.facts import TokenizerFacts

__all__ = ['ChatSource', 'ChatTemplate', 'Message', 'PromptSource', 'PromptTemplate', 'PromptText', 'RenderedRow', 'Row', 'Span', 'ends_of', 'is_conversation', 'text_source', 'with_prompt']

Message = Mapping[str, Any]
Span = tuple[int, int]
"""First character and the one after the last."""


@dataclass(frozen=True, slots=True)
class RenderedRow:
    """A row's text.

    Attributes:
        text: What is tokenized.
        spans: Supervised stretches, in order.
        unsupervised_turns: The assistant's turns whose generation prompt is no prefix of the text.
        stop_missing: Whether a supervised turn ends without a special token.
        prompt: The stretch of the prompt that may be cut when the row is too long.
        references: Right answers, where a row has others beside the one that is learned.
    """

    text: str
    spans: tuple[Span, ...]
    unsupervised_turns: int = 0
    stop_missing: bool = False
    prompt: Span | None = None
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptText:
    """A rendered prompt and the stretch of it that may be cut: its longest column, or all of it."""

    text: str
    cut: Span


@dataclass(frozen=True, slots=True)
class _Shape:
    """Everything about a conversation that follows from its roles."""

    skeleton: Skeleton
    spans: tuple[tuple[Place, Place], ...]
    unsupervised_turns: int
    stop_missing: bool

    def fill(self, messages: Sequence[Message]) -> RenderedRow:
        pieces = self.skeleton.pieces([message["content"] for message in messages])
        starts = [0, *accumulate(map(len, pieces))]
        spans = tuple([(starts[i] + a, starts[j] + b) for (i, a), (j, b) in self.spans])
        return RenderedRow("".join(pieces), spans, self.unsupervised_turns, self.stop_missing)


class ChatTemplate:
    """A chat template with the variables that it sees beside the messages.

    Args:
        source: Jinja source.
        variables: Special tokens by name, such as `bos_token`.
        stop_tokens: Texts of the tokenizer's special tokens.
        renderer: The child that renders.
        by_shape: Whether opaque templates are rendered once a shape; the result is the same without.
    """

    def __init__(
        self,
        source: str,
        variables: Mapping[str, Any],
        stop_tokens: Sequence[str],
        renderer: TemplateRenderer,
        *,
        by_shape: bool = True,
    ) -> None:
        self._source = source
        self._variables = {"tools": None, "documents": None, **variables}
        longest_first = sorted(filter(None, stop_tokens), key=len, reverse=True)
        self._stop = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._renderer = renderer
        self.is_opaque = by_shape and copies_messages(source)
        self._shapes: dict[tuple[str, ...], _Shape | TemplateProblem] = {}

    def render(
        self, conversations: Sequence[Sequence[Message]], tools: Sequence[Any] | None = None
    ) -> list[RenderedRow | TemplateProblem]:
        """The text of each conversation with its supervised stretches.

        Args:
            conversations: Messages of each row.
            tools: What the assistant of each row may call, as JSON schemas; None where no row has tools.
        """
        if not self.is_opaque or tools is not None:
            return self._render_each(conversations, tools)
        shapes = [_shape_of(messages) for messages in conversations]
        self._learn({shape for shape in shapes if shape is not None} - self._shapes.keys())
        unshaped = iter(self._render_each([m for m, shape in zip(conversations, shapes, strict=True) if shape is None]))
        rows: list[RenderedRow | TemplateProblem] = []
        for messages, shape in zip(conversations, shapes, strict=True):
            known = self._shapes[shape] if shape is not None else next(unshaped)
            rows.append(known.fill(messages) if isinstance(known, _Shape) else known)
        return rows

    def prompt_frame(self, messages: Sequence[Message]) -> tuple[str, str] | None:
        """What stands before and after the last message's content in its generation prompt; None if it isn't there."""
        (mark,) = marks_for(self._source, 1)
        marked = [*messages[:-1], {**messages[-1], "content": mark}]
        (text,) = self._renderer.render(self._source, [self._request(marked, generation=True)])
        if isinstance(text, TemplateProblem) or text.count(mark) != 1:
            return None
        before, _, after = text.partition(mark)
        return before, after

    def _learn(self, shapes: set[tuple[str, ...]]) -> None:
        ordered = sorted(shapes)
        marked = [
            [{"role": role, "content": mark} for role, mark in zip(roles, self._marks(roles), strict=True)]
            for roles in ordered
        ]
        for roles, row in zip(ordered, self._render_each(marked), strict=True):
            self._shapes[roles] = row if isinstance(row, TemplateProblem) else self._shape(roles, row)

    def _marks(self, roles: Sequence[str]) -> tuple[str, ...]:
        return marks_for(self._source, len(roles))

    def _shape(self, roles: tuple[str, ...], row: RenderedRow) -> _Shape:
        marks = self._marks(roles)
        skeleton = Skeleton.from_marked(row.text, marks)
        spans = tuple((skeleton.place(start, marks), skeleton.place(end, marks)) for start, end in row.spans)
        return _Shape(skeleton, spans, row.unsupervised_turns, row.stop_missing)

    def _request(self, messages: Sequence[Message], generation: bool, tools: Any = None) -> dict[str, Any]:
        own = {"messages": list(messages), "add_generation_prompt": generation}
        return {**self._variables, **own, **({"tools": tools} if tools else {})}

    def _render_each(
        self, conversations: Sequence[Sequence[Message]], tools: Sequence[Any] | None = None
    ) -> list[RenderedRow | TemplateProblem]:
        """Renders each conversation whole, and at the start and the end of each of the assistant's turns."""
        requests: list[dict[str, Any]] = []
        for number, messages in enumerate(conversations):
            known = tools[number] if tools is not None else None
            requests.append(self._request(messages, False, known))
            for i in _answers(messages):
                requests.append(self._request(messages[:i], True, known))
                if i + 1 < len(messages):
                    requests.append(self._request(messages[: i + 1], False, known))
        texts = iter(self._renderer.render(self._source, requests))
        return [self._supervise(messages, lambda: next(texts)) for messages in conversations]

    def _supervise(
        self, messages: Sequence[Message], next_text: Callable[[], str | TemplateProblem]
    ) -> RenderedRow | TemplateProblem:
        whole = next_text()
        last = len(messages) - 1
        turns = [(i, next_text(), whole if i == last else next_text()) for i in _answers(messages)]
        if isinstance(whole, TemplateProblem):
            return whole
        spans, stops = [], []
        for i, before, after in turns:
            content = messages[i].get("content")
            if isinstance(before, str) and isinstance(after, str) and after.startswith(before):
                end, stops_there = self._stop_end(after, len(before), content if isinstance(content, str) else "")
                if whole.startswith(after[:end]):
                    spans.append((len(before), end))
                    stops.append(stops_there)
        return RenderedRow(whole, tuple(spans), len(turns) - len(spans), not all(stops))

    def _stop_end(self, text: str, start: int, content: str) -> tuple[int, bool]:
        """End of the first special token after the answer that begins at `start`, and whether there is one."""
        exact, trimmed = text.find(content, start), text.find(content.strip(), start)
        answer_end = exact + len(content) if exact >= 0 else trimmed + len(content.strip()) if trimmed >= 0 else start
        stop = self._stop.search(text, answer_end)
        return (stop.end(), True) if stop else (len(text), False)


def is_conversation(value: object) -> TypeGuard[list[Message]]:
    """Whether it is a list of messages, each with a role in text."""
    return isinstance(value, list) and all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in value)


def _answers(messages: Sequence[Message]) -> list[int]:
    return [index for index, message in enumerate(messages) if message["role"] == "assistant"]


def _shape_of(messages: Sequence[Message]) -> tuple[str, ...] | None:
    """The roles, if the messages are nothing but roles and texts."""
    for message in messages:
        if len(message) != 2 or not isinstance(message.get("content"), str):
            return None
    return tuple([message["role"] for message in messages])


class PromptTemplate:
    """The prompt template of a `PromptForm`, over a row's columns. Unknown columns are problems."""

    def __init__(self, form: PromptForm, renderer: TemplateRenderer, *, by_shape: bool = True) -> None:
        self._source = form.prompt
        self._renderer = renderer
        self._by_shape = by_shape
        self._names = used_names(form.prompt)
        self._skeletons: dict[tuple[str, ...], Skeleton | None] = {}

    def render(self, rows: Sequence[Mapping[str, Any]]) -> list[PromptText | TemplateProblem]:
        """The prompt of each row."""
        variables = [{name: row[name] for name in self._names & row.keys()} for row in rows]
        skeletons = [self._skeleton(columns) for columns in variables]
        rest = [columns for columns, skeleton in zip(variables, skeletons, strict=True) if skeleton is None]
        rendered = iter(self._renderer.render(self._source, rest, strict=True))
        prompts: list[PromptText | TemplateProblem] = []
        for columns, skeleton in zip(variables, skeletons, strict=True):
            texts = [columns[name] for name in sorted(columns)]
            text = "".join(skeleton.pieces(texts)) if skeleton is not None else next(rendered)
            prompts.append(_prompt_text(text, columns) if isinstance(text, str) else replace(text, template="prompt"))
        return prompts

    def _skeleton(self, columns: Mapping[str, Any]) -> Skeleton | None:
        """The template's skeleton for these columns; None where the row has to be rendered by itself."""
        if not self._by_shape or not all(isinstance(value, str) for value in columns.values()):
            return None
        names = tuple(sorted(columns))
        if names not in self._skeletons:
            self._skeletons[names] = self._learn(names)
        return self._skeletons[names]

    def _learn(self, names: tuple[str, ...]) -> Skeleton | None:
        if not copies_variables(self._source, frozenset(names)):
            return None
        marks = marks_for(self._source, len(names))
        (text,) = self._renderer.render(self._source, [dict(zip(names, marks, strict=True))], strict=True)
        return Skeleton.from_marked(text, marks) if isinstance(text, str) else None


def _prompt_text(text: str, columns: Mapping[str, Any]) -> PromptText:
    """Finds the longest column in the prompt, so that a cut spares the words around it."""
    texts = [value.strip() for _, value in sorted(columns.items()) if isinstance(value, str)]
    longest = max(texts, key=len, default="")
    if not longest or text.count(longest) != 1:
        return PromptText(text, (0, len(text)))
    start = text.index(longest)
    return PromptText(text, (start, start + len(longest)))


def with_prompt(row: RenderedRow, prompt: PromptText, frame: tuple[str, str] | None) -> RenderedRow:
    """The row with the stretch of its prompt that may be cut, as far as it can be found."""
    if frame is None or not row.spans:
        return row
    start, end = len(frame[0]), row.spans[-1][0] - len(frame[1])
    written = row.text[start:end]
    if written == prompt.text:
        return replace(row, prompt=(start + prompt.cut[0], start + prompt.cut[1]))
    if written != prompt.text.strip():
        return replace(row, prompt=(start, end)) if start <= end else row
    shift = start - (len(prompt.text) - len(prompt.text.lstrip()))
    cut = (max(start, shift + prompt.cut[0]), min(end, shift + prompt.cut[1]))
    return replace(row, prompt=cut) if cut[0] <= cut[1] else row


Row = Mapping[str, Any]


def text_source(
    form: ChatForm | PromptForm,
    tokenizer: TextTokenizer,
    facts: TokenizerFacts,
    renderer: TemplateRenderer,
    by_shape: bool,
) -> ChatSource | PromptSource:
    """The source for a form, given the model's tokenizer and templates.

    Raises:
        Refusal: The model has neither a chat template nor a token that ends a text (FTC334).
    """
    named = {"bos_token": facts.bos_token, "eos_token": facts.eos_token, "pad_token": facts.pad_token}
    variables = {name: token for name, token in named.items() if token is not None}
    stop_tokens = {*tokenizer.special_tokens, facts.eos_token or ""}
    template = facts.chat_template and ChatTemplate(
        facts.chat_template, variables, sorted(stop_tokens), renderer, by_shape=by_shape
    )
    if isinstance(form, ChatForm):
        assert template, "a chat without a template is refused before (FTC220)"
        return ChatSource(form, template)
    prompts = PromptTemplate(form, renderer, by_shape=by_shape)
    if template and not form.is_split:
        return PromptSource(form, prompts, template, (), ())
    before, after = ends_of(tokenizer, facts)
    return PromptSource(form, prompts, None, before, after)


def ends_of(tokenizer: TextTokenizer, facts: TokenizerFacts) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Token ids before and after a text that no template wraps.

    Raises:
        Refusal: The tokenizer names no token that ends a text (FTC334).
    """
    if facts.eos_id is None:
        raise Refusal([_no_end_token()])
    has_bos = facts.bos_id is not None and tokenizer.begins_with(facts.bos_id)
    return (facts.bos_id,) if has_bos and facts.bos_id is not None else (), (facts.eos_id,)


def _no_end_token() -> Diagnostic:
    return diagnostic(
        "FTC334",
        "the tokenizer names no end-of-sequence token, so a completion would have no end",
        help="set `eos_token` in the model's tokenizer_config.json",
        path="model.base",
    )


class ChatSource:
    """Conversations of a column."""

    before: tuple[int, ...] = ()
    """Token ids before each row's text, which a template writes as text."""
    after: tuple[int, ...] = ()
    """Token ids after it, supervised."""

    def __init__(self, form: ChatForm, template: ChatTemplate) -> None:
        self._column = form.messages
        self._tools = form.tools
        self._template = template

    def render(self, rows: Sequence[Row]) -> list[RenderedRow | TemplateProblem]:
        """The text of each row, or why there is none."""
        conversations = [row.get(self._column) for row in rows]
        tools = [row.get(self._tools) if self._tools else None for row in rows]
        asked = [(c, t) for c, t in zip(conversations, tools, strict=True) if is_conversation(c)]
        good = iter(self._template.render([c for c, _ in asked], [t for _, t in asked] if self._tools else None))
        problem = TemplateProblem("raised", f"no conversation in `{self._column}`: a list of role and content")
        return [next(good) if is_conversation(c) else problem for c in conversations]

    def shorten(self, row: Row) -> Row | None:
        """The row without its last answer and what follows it; None if it has no earlier answer."""
        messages: Sequence[Message] = row[self._column]
        answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        return {**row, self._column: messages[: answers[-2] + 1]} if len(answers) > 1 else None


class PromptSource:
    """A prompt and a completion, as turns of a chat template or one after the other."""

    def __init__(
        self,
        form: PromptForm,
        prompts: PromptTemplate,
        template: ChatTemplate | None,
        before: tuple[int, ...],
        after: tuple[int, ...],
    ) -> None:
        self._form = form
        self._prompts = prompts
        self._template = template
        self._system = [] if form.system is None else [{"role": "system", "content": form.system}]
        self.before, self.after = before, after

    def render(self, rows: Sequence[Row]) -> list[RenderedRow | TemplateProblem]:
        """The text of each row, or why there is none."""
        completions = [row.get(self._form.completion) for row in rows]
        pairs = list(zip(self._prompts.render(rows), completions, strict=True))
        good = [(p, c) for p, c in pairs if isinstance(p, PromptText) and isinstance(c, str)]
        rendered = iter(self._plain(good) if self._template is None else self._turns(self._template, good))
        problem = TemplateProblem("raised", f"no text in `{self._form.completion}`")
        found = [
            prompt if isinstance(prompt, TemplateProblem) else next(rendered) if isinstance(answer, str) else problem
            for prompt, answer in pairs
        ]
        return [self._with_references(one, row) for one, row in zip(found, rows, strict=True)]

    def shorten(self, row: Row) -> None:
        """A prompt is cut by tokens and not by turns."""

    def _with_references(self, found: RenderedRow | TemplateProblem, row: Row) -> RenderedRow | TemplateProblem:
        if self._form.references is None or isinstance(found, TemplateProblem):
            return found
        return replace(found, references=tuple(row[self._form.references]))

    def _plain(self, pairs: Sequence[tuple[PromptText, str]]) -> Iterator[RenderedRow]:
        system = "" if self._form.system is None else self._form.system + "\n"
        for prompt, completion in pairs:
            before = system + prompt.text
            text = before + completion
            cut = (len(system) + prompt.cut[0], len(system) + prompt.cut[1])
            yield RenderedRow(text, ((len(before), len(text)),), prompt=cut)

    def _turns(
        self, template: ChatTemplate, pairs: Sequence[tuple[PromptText, str]]
    ) -> Iterator[RenderedRow | TemplateProblem]:
        asked = [[*self._system, {"role": "user", "content": prompt.text}] for prompt, _ in pairs]
        answers = [{"role": "assistant", "content": completion} for _, completion in pairs]
        rows = template.render([[*turns, answer] for turns, answer in zip(asked, answers, strict=True)])
        frame = template.prompt_frame(asked[0]) if asked else None
        for row, (prompt, _) in zip(rows, pairs, strict=True):
            yield row if isinstance(row, TemplateProblem) else with_prompt(row, prompt, frame)
