"""Where the text of a row comes from: a conversation's column, or a prompt template and a completion's column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ftc.compiler.resolve.rows.images import image_parts
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import ChatForm, PromptForm
from ftc.compiler.tokens.image_tokens import ImageTokens
from ftc.compiler.tokens.rendering import (
    ChatTemplate,
    Message,
    PromptTemplate,
    PromptText,
    RenderedRow,
    is_conversation,
    with_prompt,
)
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.facts import TokenizerFacts
from ftc.spec.tasks.turns import TrainOn, trained_turns

__all__ = ["ChatSource", "PromptSource", "Row", "ends_of", "text_source"]

Row = Mapping[str, Any]


def text_source(
    form: ChatForm | PromptForm,
    tokenizer: TextTokenizer,
    facts: TokenizerFacts,
    renderer: TemplateRenderer,
    by_shape: bool,
    images: ImageTokens | None = None,
) -> ChatSource | PromptSource:
    """The source for a form, given the model's tokenizer and templates.

    Raises:
        Refusal: Conversations have no chat template (FTC220), or texts no token that ends one (FTC334).
    """
    named = {"bos_token": facts.bos_token, "eos_token": facts.eos_token, "pad_token": facts.pad_token}
    variables = {name: token for name, token in named.items() if token is not None}
    stop_tokens = {*tokenizer.special_tokens, facts.eos_token or ""} - (images.own_texts if images else set())
    template = facts.chat_template and ChatTemplate(
        facts.chat_template,
        variables,
        sorted(stop_tokens),
        renderer,
        train_on=form.train_on if isinstance(form, ChatForm) else "assistant",
        by_shape=by_shape,
        in_parts=images is not None,
    )
    if isinstance(form, ChatForm):
        if not template:  # a chat is refused before; answers to compare or to rate may be conversations or texts
            summary, help = (
                "the rows are conversations, and the model has no chat template",
                "use an instruction-tuned base model",
            )
            raise Refusal([diagnostic("FTC220", summary, help=help, path="model.base")])
        return ChatSource(form, template)
    prompts = PromptTemplate(form, renderer, by_shape=by_shape)
    own_words = images.prompt_words if images else None  # a template would begin and end rows otherwise
    if template and not form.is_split and own_words is None:
        return PromptSource(form, prompts, template, (), (), images)
    before, after = ends_of(tokenizer, facts)
    if own_words is None:
        return PromptSource(form, prompts, None, before, after, images)
    return PromptSource(form, prompts, None, (), after, images, _behind_images(own_words, tokenizer, facts))


def _behind_images(words: tuple[str, str], tokenizer: TextTokenizer, facts: TokenizerFacts) -> tuple[str, str]:
    """What stands behind the images, and behind the prompt.

    Raises:
        Refusal: The tokenizer has no token that begins a text (FTC128).
    """
    if facts.bos_token is None or facts.bos_token not in tokenizer.special_tokens:
        summary = "the tokenizer names no token that begins a text; the model needs it between images and prompt"
        help = "set `bos_token` in the model's tokenizer_config.json"
        raise Refusal([diagnostic("FTC128", summary, help=help, path="model.base")])
    behind_images, behind_prompt = words
    return behind_images.format(bos=facts.bos_token), behind_prompt


def ends_of(tokenizer: TextTokenizer, facts: TokenizerFacts) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Token ids before and after a text that no template wraps.

    Raises:
        Refusal: The tokenizer names no token that ends a text (FTC334).
    """
    if facts.eos_id is None:
        summary = "the tokenizer names no end-of-sequence token, so completions would not end"
        help = 'name one in the recipe, such as `model: {special_tokens: {eos_token: "</s>"}}`'
        raise Refusal([diagnostic("FTC334", summary, help=help, path="model.base")])
    has_bos = facts.bos_id is not None and tokenizer.begins_with(facts.bos_id)
    return (facts.bos_id,) if has_bos and facts.bos_id is not None else (), (facts.eos_id,)


class ChatSource:
    """Conversations of a column."""

    before: tuple[int, ...] = ()
    """Token ids before each row's text, which a template writes as text."""
    after: tuple[int, ...] = ()
    """Token ids after it, supervised."""
    is_apart: bool = False
    """Whether prompt and answer are tokenized each by itself."""

    def __init__(self, form: ChatForm, template: ChatTemplate) -> None:
        self._column = form.messages
        self._tools = form.tools
        self._train_on: TrainOn = form.train_on
        self._template = template

    def render(self, rows: Sequence[Row]) -> list[RenderedRow | TemplateProblem]:
        """The text of each row, or why there is none."""
        conversations = [row.get(self._column) for row in rows]
        tools = [row.get(self._tools) if self._tools else None for row in rows]
        asked = [(c, t) for c, t in zip(conversations, tools, strict=True) if is_conversation(c)]
        good = iter(self._template.render([c for c, _ in asked], [t for _, t in asked] if self._tools else None))
        problem = TemplateProblem("raised", f"no conversation in `{self._column}`: a list of role and content")
        return [next(good) if is_conversation(c) else problem for c in conversations]

    def images(self, row: Row) -> list[str]:
        """sha256 of the images of a row, in their order."""
        return [part["image"] for part in image_parts(row.get(self._column))]

    def shorten(self, row: Row) -> Row | None:
        """The row without its last turn that is trained on and what follows it; None if it has no earlier one."""
        messages: Sequence[Message] = row[self._column]
        if self._train_on == "last":  # an earlier answer is not what should be learned
            return None
        answers = trained_turns(messages, "assistant" if self._train_on == "all" else self._train_on)
        return {**row, self._column: messages[: answers[-2] + 1]} if len(answers) > 1 else None


class _Asked(NamedTuple):
    """A prompt with the turns before it, and its completion."""

    opening: tuple[Message, ...]
    prompt: PromptText
    completion: str
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromptSource:
    """A prompt and a completion, as turns of a chat template or one after the other."""

    form: PromptForm
    prompts: PromptTemplate
    template: ChatTemplate | None
    before: tuple[int, ...]
    """Token ids before each row's text."""
    after: tuple[int, ...]
    """Token ids after it, supervised."""
    image_tokens: ImageTokens | None = None
    """How images stand in a row; None for a model that reads none."""
    around: tuple[str, str] | None = None
    """What stands behind the images, all at once, and behind the prompt; None where each image is a line above it."""

    @property
    def is_apart(self) -> bool:
        """Whether prompt and answer are tokenized each by itself."""
        return self.around is not None

    def images(self, row: Row) -> list[str]:
        """sha256 of the images of a row, in their order."""
        return list(row.get(self.form.images) or ()) if self.form.images else []

    def render(self, rows: Sequence[Row]) -> list[RenderedRow | TemplateProblem]:
        """The text of each row, or why there is none."""
        completions = [row.get(self.form.completion) for row in rows]
        pairs = list(zip(self.prompts.render(rows), completions, strict=True))
        before = [row.get(self.form.turns) or () if self.form.turns else () for row in rows]
        good = [
            _Asked(self._opening(turns), p, c, tuple(self.images(row)))
            for (p, c), turns, row in zip(pairs, before, rows, strict=True)
            if isinstance(p, PromptText) and isinstance(c, str)
        ]
        rendered = iter(self._plain(good) if self.template is None else self._turns(self.template, good))
        problem = TemplateProblem("raised", f"no text in `{self.form.completion}`")
        found = [
            prompt if isinstance(prompt, TemplateProblem) else next(rendered) if isinstance(answer, str) else problem
            for prompt, answer in pairs
        ]
        column = self.form.references
        if column is None:
            return found
        return [
            one if isinstance(one, TemplateProblem) else replace(one, references=tuple(row[column]))
            for one, row in zip(found, rows, strict=True)
        ]

    def shorten(self, row: Row) -> None:
        """A prompt is cut by tokens and not by turns."""

    def _opening(self, turns: Sequence[Message]) -> tuple[Message, ...]:
        """The turns before the prompt; a row's own system message takes the place of the recipe's."""
        if self.form.system is None or (turns and turns[0]["role"] == "system"):
            return tuple(turns)
        return ({"role": "system", "content": self.form.system}, *turns)

    def _plain(self, rows: Sequence[_Asked]) -> Iterator[RenderedRow]:
        for opening, prompt, completion, images in rows:
            above, image = "".join(f"{turn['content']}\n" for turn in opening), ""
            if self.image_tokens is not None:
                image = self.image_tokens.text
            if self.around is None:
                above += f"{image}\n" * len(images)
            else:
                above = image * len(images) + self.around[0] + above
            before = above + prompt.text + (self.around[1] if self.around else "")
            text = before + completion
            cut = (len(above) + prompt.cut[0], len(above) + prompt.cut[1])
            yield RenderedRow(text, ((len(before), len(text)),), prompt=cut)

    def _turns(self, template: ChatTemplate, rows: Sequence[_Asked]) -> Iterator[RenderedRow | TemplateProblem]:
        asked = [[*row.opening, {"role": "user", "content": _content(row)}] for row in rows]
        answers = [{"role": "assistant", "content": row.completion} for row in rows]
        rendered = template.render([[*turns, answer] for turns, answer in zip(asked, answers, strict=True)])
        frames: dict[tuple[int, tuple[tuple[str, str], ...]], tuple[str, str] | None] = {}
        for row, turns, text in zip(rows, asked, rendered, strict=True):
            key = len(row.images), tuple((turn["role"], turn["content"]) for turn in row.opening)
            if key not in frames:
                frames[key] = template.prompt_frame(turns)
            yield text if isinstance(text, TemplateProblem) else with_prompt(text, row.prompt, frames[key])


def _content(row: _Asked) -> Any:
    """What the user says: the prompt, behind its images where it has any."""
    if not row.images:
        return row.prompt.text
    return [*({"type": "image", "image": image} for image in row.images), {"type": "text", "text": row.prompt.text}]
