"""Both ways of encoding agree; masks, cuts and drops are exact and counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from ftc.compiler.resolve.rows import in_processes
from ftc.compiler.resolve.rows.in_processes import with_jobs
from ftc.compiler.tokens.encoder import MarkedText, TextTokenizer
from ftc.compiler.tokens.forms import ChatForm, ClassifyForm, PromptForm
from ftc.compiler.tokens.row_tokens import encode_rows
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import TokenizerFacts

Facts = Callable[[str | None], TokenizerFacts]
Template = Callable[[str], str]
NAMES = ["chatml_default_system", "chatml_generation_tag", "llama3", "mistral", "gemma", "zephyr", "qwen_reasoning"]
NO_LIMIT = 100_000


def row_ids(tokens: TokenRows, i: int = 0) -> list[int]:
    return list(tokens.ids[tokens.boundaries[i] : tokens.boundaries[i + 1]].tolist())


def row_mask(tokens: TokenRows, i: int = 0) -> list[bool]:
    return list(tokens.mask[tokens.boundaries[i] : tokens.boundaries[i + 1]].tolist())


def learned(tokens: TokenRows, file: Path, i: int = 0) -> str:
    ids = [token for token, on in zip(row_ids(tokens, i), row_mask(tokens, i), strict=True) if on]
    return str(Tokenizer.from_file(str(file)).decode(ids, skip_special_tokens=False))


def assert_same(left: TokenRows, right: TokenRows) -> None:
    for name in ("ids", "mask", "boundaries", "prompt_length", "label", "row"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    assert left.counts == right.counts


@pytest.mark.parametrize("max_length", [NO_LIMIT, 60])
@pytest.mark.parametrize("name", NAMES)
def test_segments_and_whole_texts_agree(
    name: str,
    max_length: int,
    byte_level: Path,
    facts: Facts,
    template: Template,
    conversations: list[list[dict[str, str]]],
    renderer: TemplateRenderer,
) -> None:
    rows = [{"messages": messages} for messages in conversations]
    both = []
    for by_segment in (True, False):
        tokenizer = TextTokenizer(byte_level, by_segment=by_segment)
        assert tokenizer.is_segmentable is by_segment
        source = facts(template(name))
        both.append(encode_rows(rows, ChatForm(), tokenizer, source, renderer, max_length=max_length))
    assert_same(*both)
    assert both[0].counts.dropped + len(both[0].row) == len(rows)
    assert np.diff(both[0].boundaries).max() <= max_length


@pytest.mark.parametrize("max_length", [NO_LIMIT, 60])
def test_any_number_of_processes_gives_the_same(
    max_length: int,
    byte_level: Path,
    facts: Facts,
    template: Template,
    conversations: list[list[dict[str, str]]],
    renderer: TemplateRenderer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(in_processes, "ROWS_AT_ONCE", 9)
    rows = [{"messages": messages} for messages in [*conversations, []]]  # the last one has no turn
    tokenizer, source, found = TextTokenizer(byte_level), facts(template("chatml_default_system")), []
    for jobs in (1, 3):
        with with_jobs(jobs):
            found.append(encode_rows(rows, ChatForm(), tokenizer, source, renderer, max_length=max_length))
    assert_same(*found)
    assert found[0].counts.dropped + len(found[0].row) == len(rows) > 3 * 9
    assert bool(found[0].counts.cut) is (max_length == 60)


@pytest.mark.parametrize("prompt", ["Q: {{ q }} {{ d }}\nA:", "{{ d | trim }}{{ q }}\nA: "])
@pytest.mark.parametrize("source", [None, "chatml_default_system", "llama3"])
@pytest.mark.parametrize("max_length", [NO_LIMIT, 50])
def test_prompts_agree_as_well(
    prompt: str,
    source: str | None,
    max_length: int,
    byte_level: Path,
    facts: Facts,
    template: Template,
    conversations: list[list[dict[str, str]]],
    renderer: TemplateRenderer,
) -> None:
    texts = [turn["content"] for messages in conversations for turn in messages]
    rows = [{"q": q, "d": d * 5, "a": a} for q, d, a in zip(texts[::3], texts[1::3], texts[2::3], strict=False)]
    form = PromptForm(prompt=prompt, completion="a", system="Be brief.")
    results = [
        encode_rows(
            rows,
            form,
            TextTokenizer(byte_level, by_segment=fast),
            facts(source and template(source)),
            renderer,
            max_length=max_length,
            by_shape=fast,
        )
        for fast in (True, False)
    ]
    assert_same(*results)


def test_ids_are_those_of_the_whole_text(byte_level: Path, conversations: list[list[dict[str, str]]]) -> None:
    texts = ["<s>".join(turn["content"] for turn in messages) for messages in conversations]
    tokenizer = Tokenizer.from_file(str(byte_level))
    encoded = TextTokenizer(byte_level).encode([MarkedText(text, ()) for text in texts])
    assert [list(e.ids) for e in encoded] == [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def test_answers_are_supervised_to_their_stop_token(
    byte_level: Path, facts: Facts, template: Template, renderer: TemplateRenderer
) -> None:
    turns = [("user", "Hi"), ("assistant", "The answer is 42"), ("user", "So?"), ("assistant", "user")]
    rows = [{"messages": [{"role": role, "content": text} for role, text in turns]}]
    chatml = facts(template("chatml_default_system"))
    tokens = encode_rows(rows, ChatForm(), TextTokenizer(byte_level), chatml, renderer, max_length=NO_LIMIT)
    assert learned(tokens, byte_level) == "The answer is 42<|im_end|>user<|im_end|>"
    prompt = row_ids(tokens)[: tokens.prompt_length[0]]
    text = Tokenizer.from_file(str(byte_level)).decode(prompt, skip_special_tokens=False)
    assert text.endswith("So?<|im_end|>\n<|im_start|>assistant\n")


def test_a_token_that_prompt_and_answer_share_is_learned_and_not_in_the_prompt(
    byte_level: Path, facts: Facts, renderer: TemplateRenderer
) -> None:
    rows = [{"q": "The", "a": "answer"}]
    form = PromptForm(prompt="{{ q }} ", completion="a")
    tokens = encode_rows(rows, form, TextTokenizer(byte_level), facts(None), renderer, max_length=NO_LIMIT)
    assert learned(tokens, byte_level) == " answer</s>"
    assert tokens.counts.merged == 1
    assert row_ids(tokens)[tokens.prompt_length[0] :] == [
        token for token, on in zip(row_ids(tokens), row_mask(tokens), strict=True) if on
    ]


def test_conversations_lose_whole_turns(
    byte_level: Path, facts: Facts, template: Template, renderer: TemplateRenderer
) -> None:
    pair = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The answer is 42"}]
    rows = [{"messages": pair * 5}, {"messages": pair}, {"messages": [pair[0], {**pair[1], "content": "a b " * 99}]}]
    chatml = facts(template("chatml_default_system"))
    whole = encode_rows(rows, ChatForm(), TextTokenizer(byte_level), chatml, renderer, max_length=NO_LIMIT)
    limit = len(row_ids(whole, 1)) + 60
    tokens = encode_rows(rows, ChatForm(), TextTokenizer(byte_level), chatml, renderer, max_length=limit)
    assert tokens.row.tolist() == [0, 1]
    assert row_ids(tokens, 0) == row_ids(whole, 0)[: len(row_ids(tokens, 0))]
    assert learned(tokens, byte_level).count("42<|im_end|>") in range(1, 5)
    assert (tokens.counts.truncated, tokens.counts.dropped) == (1, 1)
    assert tokens.counts.first_dropped[0].row == 2


@pytest.mark.parametrize("source", [None, "chatml_default_system", "gemma"])
def test_prompts_are_cut_inside_their_longest_column(
    source: str | None, byte_level: Path, facts: Facts, template: Template, renderer: TemplateRenderer
) -> None:
    rows = [
        {"text": "river stone winter ledger " * 40, "summary": "The answer"},
        {"text": "x", "summary": "river stone " * 60},
    ]
    form = PromptForm(prompt="Summarize:\n{{ text }}\nSummary:", completion="summary")
    known = facts(source and template(source))
    tokens = encode_rows(rows, form, TextTokenizer(byte_level), known, renderer, max_length=100)
    text = Tokenizer.from_file(str(byte_level)).decode(row_ids(tokens), skip_special_tokens=False)
    assert len(row_ids(tokens)) == 100
    assert "Summarize:\nriver stone" in text
    assert "\nSummary:" in text
    assert learned(tokens, byte_level).startswith("The answer")
    assert (tokens.counts.truncated, tokens.counts.dropped) == (1, 1)


def test_classes_use_the_tokenizers_own_special_tokens(
    word_piece: Path, facts: Facts, renderer: TemplateRenderer
) -> None:
    rows: list[dict[str, Any]] = [
        {"t": "the answer is", "u": "river", "y": "ham"},
        {"t": "winter " * 30, "u": "stone", "y": "spam"},
        {"t": None, "u": "stone", "y": "spam"},
    ]
    form = ClassifyForm(text="t", text_pair="u", label="y", labels=("ham", "spam"))
    tokens = encode_rows(rows, form, TextTokenizer(word_piece), facts(None), renderer, max_length=12)
    assert tokens.label.tolist() == [0, 1]
    assert tokens.counts.truncated == 1
    for i in range(2):
        assert (row_ids(tokens, i)[0], row_ids(tokens, i)[-1], row_ids(tokens, i).count(3)) == (2, 3, 2)
        first = row_ids(tokens, i).index(3) + 1  # up to the first [SEP]
        assert tokens.prompt_length[i] == first
    assert len(row_ids(tokens, 1)) == 12
    assert not tokens.mask.any()
    assert tokens.counts.first_dropped[0].reason == "no text in t or u"


@pytest.mark.parametrize("rows", [[], [{"x": 1}], [{"messages": [{"role": "user", "content": "Hi"}]}]])
def test_rows_without_an_answer_teach_nothing(
    rows: list[dict[str, Any]], byte_level: Path, facts: Facts, renderer: TemplateRenderer
) -> None:
    copy = facts("{% for m in messages %}{{ m.content }}{% endfor %}")
    tokens = encode_rows(rows, ChatForm(), TextTokenizer(byte_level), copy, renderer, max_length=NO_LIMIT)
    assert not tokens.teaches
    assert tokens.counts.dropped == len(rows)


def test_long_rows_are_left_out_whole_where_nothing_may_be_cut(
    byte_level: Path, word_piece: Path, facts: Facts, template: Template, renderer: TemplateRenderer
) -> None:
    pair = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The answer is 42"}]
    many = "river stone winter ledger " * 40
    cases: list[tuple[Any, list[dict[str, Any]], Path, str | None]] = [
        (ChatForm(), [{"messages": pair * 9}, {"messages": pair}], byte_level, template("chatml_default_system")),
        (PromptForm(prompt="{{ q }}", completion="a"), [{"q": many, "a": "y"}, {"q": "x", "a": "y"}], byte_level, None),
        (
            ClassifyForm(text="q", label="a", labels=("y",)),
            [{"q": many, "a": "y"}, {"q": "river", "a": "y"}],
            word_piece,
            None,
        ),
    ]
    for form, rows, file, source in cases:
        tokenizer, known = TextTokenizer(file), facts(source)
        whole = encode_rows(rows, form, tokenizer, known, renderer, max_length=NO_LIMIT)
        left = encode_rows(rows, form, tokenizer, known, renderer, max_length=80, cuts=False)
        assert row_ids(left) == row_ids(whole, 1)
        assert (left.row.tolist(), left.counts.truncated, left.counts.dropped, left.counts.too_long) == ([1], 0, 1, 1)
        assert left.counts.first_too_long == [(0, len(row_ids(whole, 0)))]


def test_rows_carry_the_numbers_of_their_source(
    byte_level: Path, word_piece: Path, facts: Facts, renderer: TemplateRenderer
) -> None:
    rows: list[dict[str, Any]] = [{"q": "x", "a": "y"}, {"q": "x", "a": None}, {"q": "z", "a": "y"}]
    form = PromptForm(prompt="{{ q }}", completion="a")
    numbers = [4, 7, 9]
    made = encode_rows(rows, form, TextTokenizer(byte_level), facts(None), renderer, max_length=80, numbers=numbers)
    assert (made.row.tolist(), made.counts.first_dropped[0].row) == ([4, 9], 7)
    classes = ClassifyForm(text="a", label="q", labels=("x", "z"))
    known = encode_rows(rows, classes, TextTokenizer(word_piece), facts(None), renderer, max_length=8, numbers=numbers)
    assert (known.row.tolist(), known.counts.first_dropped[0].row) == ([4, 9], 7)


def test_a_name_that_a_row_lacks_is_told_with_the_row(
    byte_level: Path, facts: Facts, renderer: TemplateRenderer
) -> None:
    rows = [{"q": "x", "a": "y"}, {"a": "y"}]
    form = PromptForm(prompt="{{ q }}", completion="a")
    with pytest.raises(Refusal) as caught:
        encode_rows(
            rows,
            form,
            TextTokenizer(byte_level),
            facts(None),
            renderer,
            max_length=80,
            numbers=[4, 7],
            place="rows.jsonl:{}".format,
        )
    (found,) = caught.value.diagnostics
    assert (found.code, found.path) == ("FTC333", "task.prompt")
    assert found.notes[-1] == "first at rows.jsonl:7"
    assert found.help


@pytest.mark.parametrize(
    ("form", "chat_template", "path"),
    [
        (ChatForm(), "{% if %}", "model.base"),
        (PromptForm(prompt="{{ q }}", completion="a"), "{% if %}", "model.base"),
        (PromptForm(prompt="{% if %}", completion="a"), None, "task.prompt"),
    ],
)
def test_a_fault_points_at_the_template_that_has_it(
    form: Any, chat_template: str | None, path: str, byte_level: Path, facts: Facts, renderer: TemplateRenderer
) -> None:
    rows = [{"q": "x", "a": "y", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}]
    with pytest.raises(Refusal) as caught:
        encode_rows(rows, form, TextTokenizer(byte_level), facts(chat_template), renderer, max_length=80)
    (found,) = caught.value.diagnostics
    assert (found.code, found.path) == ("FTC331", path)
    assert found.help


def refused(
    rows: list[dict[str, Any]], form: Any, file: Path, known: TokenizerFacts, renderer: TemplateRenderer
) -> str:
    with pytest.raises(Refusal) as caught:
        encode_rows(rows, form, TextTokenizer(file), known, renderer, max_length=50)
    return caught.value.diagnostics[0].code


def test_what_cannot_be_used_is_refused(byte_level: Path, facts: Facts, renderer: TemplateRenderer) -> None:
    ask = [{"messages": [{"role": "user", "content": "Hi"}]}]
    plain = PromptForm(prompt="{{ q }}", completion="a")
    row = [{"q": "x", "a": "y"}]
    no_end = facts(None).model_copy(update={"eos_id": None})
    lone = [{"q": "\ud800", "a": "y"}]
    assert refused(ask, ChatForm(), byte_level, facts("{% if %}"), renderer) == "FTC331"
    assert refused(ask, ChatForm(), byte_level, facts("{{ ''.__class__.x }}"), renderer) == "FTC332"
    assert refused(row, PromptForm(prompt="{{ z }}", completion="a"), byte_level, facts(None), renderer) == "FTC333"
    assert refused(row, plain, byte_level, no_end, renderer) == "FTC334"
    assert refused(lone, plain, byte_level, facts(None), renderer) == "FTC339"
