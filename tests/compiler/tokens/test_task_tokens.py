"""Words, answers, raw text, preferences and encoder-decoders as tokens: what is learned stands where it should."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import (
    AnswerForm,
    ChatForm,
    ExtractForm,
    PreferenceForm,
    PromptForm,
    RawForm,
    StepForm,
    TagForm,
    TextForm,
)
from ftc.compiler.tokens.plain_rows import words_with_spans
from ftc.compiler.tokens.row_tokens import encode_rows
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import TokenizerFacts

Encode = Callable[..., TokenRows]
LABELS = ("O", "B-PER", "I-PER")


@pytest.fixture
def encode(byte_level: Path, facts: Callable[[str | None], TokenizerFacts], renderer: TemplateRenderer) -> Encode:
    """`encode(form, rows, max_length=8)` with a tokenizer and no chat template."""

    def run(
        form: TextForm, rows: Sequence[Mapping[str, Any]], max_length: int = 1000, *, cuts: bool = True
    ) -> TokenRows:
        tokenizer = TextTokenizer(byte_level)
        return encode_rows(rows, form, tokenizer, facts(None), renderer, max_length=max_length, cuts=cuts)

    return run


@pytest.fixture
def text_of(byte_level: Path) -> Callable[[Sequence[int]], str]:
    tokenizer = Tokenizer.from_file(str(byte_level))
    return lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=False))


def test_a_word_is_learned_at_its_first_token(encode: Encode, text_of: Callable[[Sequence[int]], str]) -> None:
    words = ["Ada", "Lovelace", "wrote", "programs"]
    rows = [{"w": words, "t": ["B-PER", "I-PER", "O", "O"]}]
    found = encode(TagForm(words="w", tags="t", labels=LABELS), rows)
    assert found.targets[0].tolist() == [1, 2, 0, 0]
    begins = [*found.mask.nonzero()[0].tolist(), len(found.ids)]
    parts = [text_of(found.ids[a:b].tolist()).strip() for a, b in itertools.pairwise(begins)]
    assert [part.split("<")[0] for part in parts] == words


def test_a_cut_takes_whole_tags_away(encode: Encode) -> None:
    rows = [{"w": ["Ada"] * 30, "t": ["B-PER"] * 30}]
    form = TagForm(words="w", tags="t", labels=LABELS)
    whole, cut = encode(form, rows), encode(form, rows, 20)
    assert len(cut.ids) <= 20
    assert cut.counts.truncated == 1
    assert len(cut.targets[0]) == int(cut.mask.sum()) < len(whole.targets[0]) == 30
    assert encode(form, rows, 20, cuts=False).counts.too_long == 1


def test_a_step_is_rated_at_the_end_of_the_separator_behind_it(
    encode: Encode, text_of: Callable[[Sequence[int]], str]
) -> None:
    steps = ["Two and two is four.", "So four.", "k"]
    rows = [{"p": "2 + 2?", "s": steps, "l": ["right", "wrong", "right"]}]
    form = StepForm(prompt="p", steps="s", ratings="l", labels=("wrong", "right"), separator=" ;\n")
    found = encode(form, rows)
    assert found.targets[0].tolist() == [1, 0, 1]
    ends = [0, *(found.mask.nonzero()[0] + 1).tolist()]
    parts = [text_of(found.ids[a:b].tolist()) for a, b in itertools.pairwise(ends)]
    assert parts == [f"2 + 2?{steps[0]} ;\n", f"{steps[1]} ;\n", f"{steps[2]} ;\n"]
    cut = encode(form, rows, ends[3] - 1)
    assert (cut.targets[0].tolist(), len(cut.ids), cut.counts.truncated) == ([1, 0], ends[2], 1)
    assert (
        encode(form, rows, ends[1] - 1).counts.too_long
        == encode(form, rows, ends[3] - 1, cuts=False).counts.too_long
        == 1
    )


def test_of_a_rated_answer_nothing_is_cut(encode: Encode, text_of: Callable[[Sequence[int]], str]) -> None:
    asked = PromptForm(prompt="{{ p }}", completion="c")
    rows = [{"p": "Why? " * 9, "c": "So.", "n": [0.5]}]
    whole, cut = (encode(AnswerForm(written=asked, numbers="n"), rows, most) for most in (1000, 20))
    assert len(cut.ids) == 20 < len(whole.ids)
    assert all(text_of(one.ids.tolist()).endswith("So.</s>") for one in (whole, cut))
    assert (whole.mask.sum(), list(whole.texts[0]), whole.targets[0].view(np.float32).tolist()) == (0, ["0.5"], [0.5])


def test_conversations_need_a_template(encode: Encode) -> None:
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    with pytest.raises(Refusal) as refused:
        encode(AnswerForm(written=ChatForm(messages="m", train_on="last"), numbers="n"), [{"m": turns, "n": [1.0]}])
    assert refused.value.diagnostics[0].code == "FTC220"


def test_iob1_becomes_iob2(encode: Encode) -> None:
    rows = [{"w": list("abcde"), "t": ["I-PER", "I-PER", "B-PER", "O", "I-PER"]}]
    found = encode(TagForm(words="w", tags="t", labels=LABELS, scheme="iob1"), rows)
    assert [LABELS[tag] for tag in found.targets[0]] == ["B-PER", "I-PER", "B-PER", "O", "B-PER"]


def test_a_word_inside_of_a_token_is_counted(encode: Encode) -> None:
    rows = [{"text": "the end", "spans": [{"start": 1, "end": 2, "label": "PER"}]}]
    found = encode(TagForm(text="text", spans="spans", labels=LABELS), rows)
    assert found.counts.words_without_token == 4 - int(found.mask.sum())


@given(st.text(st.sampled_from("ab .,é日"), min_size=1, max_size=30), st.data())
def test_stretches_cover_just_their_words(text: str, data: st.DataObject) -> None:
    edges = sorted(data.draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=4)))
    spans = [{"start": edges[0], "end": edges[1], "label": "X"}]
    found = words_with_spans(text, spans)
    tagged = [place for place, tag in zip(found.places, found.tags, strict=True) if tag != "O"]
    assert "".join(text[a:b] for a, b in tagged) == "".join(text[edges[0] : edges[1]].split())
    assert [tag[0] for tag in found.tags if tag != "O"] == ["B", *"I" * (len(tagged) - 1)][: len(tagged)]


def test_an_answer_stands_whole_in_some_window(encode: Encode) -> None:
    context = " ".join(f"word{n}" for n in range(60))
    answer = "word41 word42"
    rows = [
        {"q": "which", "c": context, "a": {"text": [answer], "answer_start": [context.index(answer)]}},
        {"q": "which", "c": context, "a": {"text": [], "answer_start": []}},
    ]
    found = encode(ExtractForm(question="q", context="c", answers="a", stride=12), rows, 40)
    windows = [n for n, row in enumerate(found.row) if row == 0]
    assert len(windows) > 2
    held = [n for n in windows if found.targets[n].tolist() != [0, 0]]
    assert held
    for n in held:
        first, last = found.targets[n].tolist()
        offsets = found.offsets[n].reshape(-1, 2)
        assert context[offsets[first][0] : offsets[last][1]].strip() == answer
    assert all(found.targets[n].tolist() == [0, 0] for n, row in enumerate(found.row) if row == 1)
    assert found.texts[windows[0]] == (context, answer)
    assert found.counts.answers_cut == 0


def test_a_question_that_fills_a_window_is_left_out(encode: Encode) -> None:
    rows = [{"q": "which " * 40, "c": "a b c", "a": {"text": [], "answer_start": []}}]
    assert encode(ExtractForm(question="q", context="c", answers="a", stride=4), rows, 20).counts.too_long == 1


@pytest.mark.parametrize("size", [8, 9, 50, 1000])
def test_blocks_hold_every_token_once(encode: Encode, size: int) -> None:
    rows = [{"text": f"number {n} of some texts"} for n in range(9)]
    whole = [encode(RawForm(text="text"), [row]).ids.tolist() for row in rows]
    found = encode(RawForm(text="text"), rows, size)
    flat = [token for ids in whole for token in ids]
    assert found.ids.tolist() == flat[: len(found.ids)]
    assert len(flat) - len(found.ids) <= 1, "a token that is left alone has nothing to be learned from"
    lengths = (found.boundaries[1:] - found.boundaries[:-1]).tolist()
    assert set(lengths[:-1]) <= {size}
    assert found.mask.all()
    assert found.row.tolist() == sorted(found.row.tolist())


def test_an_encoder_reads_the_prompt_and_a_decoder_writes_the_rest(
    encode: Encode, text_of: Callable[[Sequence[int]], str]
) -> None:
    form = PromptForm(prompt="sum up: {{ d }} !", completion="s", is_split=True)
    found = encode(form, [{"d": "a long text " * 20, "s": "short"}], 30)
    prompt = int(found.prompt_length[0])
    assert prompt <= 30
    assert text_of(found.ids[:prompt].tolist()).startswith("sum up: a long")
    assert text_of(found.ids[:prompt].tolist()).rstrip("</s>").strip().endswith("!"), "words around the text stay"
    assert found.mask.tolist() == [False] * prompt + [True] * (len(found.ids) - prompt)
    assert text_of(found.ids[prompt:].tolist()).startswith("short")
    assert found.counts.truncated == 1


def test_both_answers_keep_the_same_prompt(encode: Encode) -> None:
    prompt = "{{ p }}"
    form = PreferenceForm(
        chosen=PromptForm(prompt=prompt, completion="c"), rejected=PromptForm(prompt=prompt, completion="r")
    )
    rows = [{"p": "a long prompt " * 20, "c": "yes", "r": "by no means, and never again"}]
    found = encode(form, rows, 40)
    first = int(found.targets[0][0])
    chosen, rejected = found.ids[:first].tolist(), found.ids[first:].tolist()
    length = int(found.prompt_length[0])
    assert max(len(chosen), len(rejected)) == 40
    assert chosen[:length] == rejected[:length]
    assert found.mask[length:first].all()
    assert found.mask[first + length :].all()
    assert not found.mask[:length].any()


def test_a_tool_call_is_learned_and_tools_reach_the_template(
    byte_level: Path, facts: Callable[[str | None], TokenizerFacts], renderer: TemplateRenderer
) -> None:
    template = (
        "{% for tool in tools or [] %}[{{ tool.name }}]{% endfor %}{% for m in messages %}<s>{{ m.role }}: "
        "{{ m.content or '' }}{% for c in m.tool_calls or [] %}call {{ c.name }}{% endfor %}</s>{% endfor %}"
        "{% if add_generation_prompt %}<s>assistant: {% endif %}"
    )
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "clock"}]}
    row = {"messages": [{"role": "user", "content": "when?"}, call], "tools": [{"name": "clock"}]}
    form = ChatForm(messages="messages", tools="tools")
    found = encode_rows([row], form, TextTokenizer(byte_level), facts(template), renderer, max_length=1000)
    decode = Tokenizer.from_file(str(byte_level)).decode
    assert decode(found.ids.tolist(), skip_special_tokens=False).startswith("[clock]")
    assert "call clock" in decode(found.ids[found.mask].tolist(), skip_special_tokens=False)
