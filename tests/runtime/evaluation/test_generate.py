"""Answers are the same whichever way they are written: alone, together, behind a shared beginning, in a fixed place."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GenerationConfig

from ftc.compiler.time.amounts import leaving_amounts
from ftc.runtime.evaluation import generate
from ftc.runtime.evaluation.generate import (
    SharedPrompt,
    answers,
    configured,
    generated,
    rows_may_leave,
    shared_length,
    static_cache_pays,
)
from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.training.answer_writer import Sampler
from ftc.runtime.training.signals import StopRequest
from ftc.spec.documents.decoded import TextDecoder
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from tests.runtime.jobs import make_job
from tests.support.streams import write_columns
from tests.support.tiny_models import VOCAB_SIZE, write_tiny_model

CPU = torch.device("cpu")
HEAD = [1, *range(20, 40)]
"""What all prompts begin with."""
ORDER = [[0, 1, 2], [3, 4]]


def prompts(tmp_path: Path, head: list[int] = HEAD) -> TokenStream:
    generator = torch.Generator().manual_seed(3)
    rests = [torch.randint(4, VOCAB_SIZE, (size,), generator=generator).tolist() for size in (17, 9, 8, 4, 1)]
    ids = [[*head, *rest, 2] for rest in rests]
    masks = [[0] * (len(row) - 1) + [1] for row in ids]
    return write_columns(tmp_path / "rows.arrow", ids, masks, prompts=[len(row) - 1 for row in ids])


def model(tmp_path: Path, kind: str) -> Any:
    from transformers import AutoModelForCausalLM

    write_tiny_model(tmp_path / kind, kind)
    return AutoModelForCausalLM.from_pretrained(tmp_path / kind)


def settings(tmp_path: Path, **changes: Any) -> Settings:
    return make_job(tmp_path, eval__max_new_tokens=12, eval__metrics=("exact_match",), **changes).plan.settings


def written(
    model: Any, rows: TokenStream, settings: Settings, decode: TextDecoder, order: list[list[int]] = ORDER
) -> dict[int, str]:
    texts: dict[int, str] = {}
    with eval_mode(model):
        for some in answers(model, rows, order, settings, decode, StopRequest(), CPU):
            texts |= some
    return texts


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_answers_behind_a_shared_beginning_are_those_of_whole_prompts(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gemma's layers look back only so far, so that its prompts stay whole."""
    rows, writer, asked = prompts(tmp_path), model(tmp_path, kind), settings(tmp_path)
    decode = TextDecoder(tmp_path / kind)
    alone = written(writer, rows, asked, decode, [[number] for number in range(5)])
    found = SharedPrompt.of(writer, rows, range(5), CPU)
    assert (found is None) == (kind == "gemma2")
    together = written(writer, rows, asked, decode)
    monkeypatch.setattr(SharedPrompt, "of", lambda *_: None)
    whole = written(writer, rows, asked, decode)
    assert together == whole == alone
    assert len(set(alone.values())) > 1


def ways_to_write() -> list[Any]:
    """Kinds with every two of the other three; all three together are slow."""
    every = itertools.product((False, True), (False, True), (None, 0.8), ("llama", "gpt2", "gemma2"))
    return [
        pytest.param(
            *way,
            marks=[pytest.mark.slow] if (is_wrapped + is_shared + bool(heat)) % 2 else [],
            id=f"{'with an adapter' if is_wrapped else 'alone'}-"
            f"{'a shared beginning' if is_shared else 'whole prompts'}-{heat}-{kind}",
        )
        for way in every
        for is_wrapped, is_shared, heat, kind in [way]
    ]


@pytest.mark.parametrize(("is_wrapped", "is_shared", "heat", "kind"), ways_to_write())
def test_a_row_leaves_its_batch_when_its_answer_has_ended(
    tmp_path: Path, kind: str, heat: float | None, *, is_shared: bool, is_wrapped: bool
) -> None:
    """Gemma's layers look back only so far: their rows stay."""
    rows, writer, numbers = prompts(tmp_path), model(tmp_path, kind), [0, 1, 2, 3, 4]
    if is_wrapped:
        writer = get_peft_model(writer, LoraConfig(r=2, target_modules="all-linear", fan_in_fan_out=kind == "gpt2"))
    asked = settings(tmp_path)
    asked = asked.model_copy(update={"model": asked.model.model_copy(update={"stop_ids": tuple(range(40))})})
    sizes: list[int] = []
    base = writer.get_base_model() if is_wrapped else writer
    base.register_forward_hook(lambda _, __, output: sizes.append(len(output.logits)))
    config = GenerationConfig(max_new_tokens=40, eos_token_id=list(asked.model.stop_ids), pad_token_id=0)

    def lines(some: list[int]) -> list[list[int]]:
        draw = Sampler(some, heat, 0, CPU) if heat else None
        may_leave = rows_may_leave(writer, asked, CPU)
        with eval_mode(writer), configured(writer, config):
            shared = SharedPrompt.of(writer, rows, numbers, CPU) if is_shared else None
            known = {"shared": shared.length, **shared.for_rows(len(some))} if shared else {}
            found = generated(writer, rows, some, asked, CPU, may_leave=may_leave, draw=draw, **known)
        return [list(itertools.takewhile(lambda token: token not in asked.model.stop_ids, line)) for line in found]

    alone = [lines([number])[0] for number in numbers]
    assert len({len(line) for line in alone}) > (2 if heat else 1), "they end at different places"
    sizes.clear()
    assert lines(numbers) == alone
    together = [size for size in sizes if size > 1]
    assert (min(together) < 5) == (kind != "gemma2")
    if kind != "gemma2" and not is_shared:  # a plan that knew the lengths would count the same passes, row by row
        planned = leaving_amounts([min(40, len(line) + 1) for line in alone], 1)
        assert sizes[:2] == [1, len(numbers)], "whether rows may leave is asked of one token; then prompts are read"
        assert (planned.passes, planned.tokens) == (len(sizes[2:]), sum(sizes[2:]))


def test_rows_stay_where_rotations_follow_from_the_longest(tmp_path: Path) -> None:
    asked, writer = settings(tmp_path), model(tmp_path, "llama")
    assert rows_may_leave(writer, asked, CPU)
    writer.config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert not rows_may_leave(writer, asked, CPU)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_cache_of_fixed_size_changes_no_answer(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card would compile what reads it; a CPU only has it. The last batch is filled up and cut again."""
    rows, writer, asked = prompts(tmp_path), model(tmp_path, kind), settings(tmp_path)
    decode = TextDecoder(tmp_path / kind)
    usual = written(writer, rows, asked, decode)
    sizes: list[tuple[int, str | None]] = []
    generated = writer.generate

    def watched(**inputs: Any) -> Any:
        sizes.append((len(inputs["input_ids"]), writer.generation_config.cache_implementation))
        return generated(**inputs)

    monkeypatch.setattr(writer, "generate", watched)
    monkeypatch.setattr(generate, "static_cache_pays", lambda *_: True)
    assert written(writer, rows, asked, decode) == usual
    assert sizes == [(3, "static"), (3, "static")]
    assert writer.generation_config.cache_implementation is None


def test_little_that_is_shared_is_left_in_its_rows(tmp_path: Path) -> None:
    assert shared_length(prompts(tmp_path), [0, 1, 2]) == len(HEAD)
    assert shared_length(prompts(tmp_path), [0]) == 0
    assert shared_length(prompts(tmp_path, HEAD[:15]), [0, 1, 2]) == 0
    alike = [HEAD, HEAD]
    rows = write_columns(tmp_path / "alike.arrow", alike, [[0] * len(HEAD)] * 2, prompts=[len(HEAD)] * 2)
    assert shared_length(rows, [0, 1]) == len(HEAD) - 1, "a token is left to be predicted from"


def test_a_fixed_place_is_for_cards_and_long_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, asked, card = model(tmp_path, "llama"), settings(tmp_path), torch.device("cuda")
    monkeypatch.setattr("ftc.runtime.evaluation.generate._has_compiler", lambda: True)
    assert static_cache_pays(writer, asked, card, 1000)
    assert not static_cache_pays(writer, asked, card, 10)
    assert not static_cache_pays(writer, asked, CPU, 1000)
    assert not static_cache_pays(torch.nn.Linear(2, 2), asked, card, 1000)
    monkeypatch.setattr("ftc.runtime.evaluation.generate._has_compiler", lambda: False)
    assert not static_cache_pays(writer, asked, card, 1000)


def _odd_model(kind: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    ids = {"vocab_size": VOCAB_SIZE, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    positions = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}
    changes: dict[str, dict[str, Any]] = {
        "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2},
        "gpt_neo": {
            "hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 16,
            "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 64,
        },
        "rwkv": {"hidden_size": 32, "num_hidden_layers": 2},
        "llama": {**sizes, "max_position_embeddings": 32, "rope_parameters": positions},
    }  # fmt: skip
    torch.manual_seed(0)
    made: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **ids, **changes[kind]))
    for part in made.parameters():
        if part.dim() > 1:
            torch.nn.init.normal_(part, std=0.3)
    return made


@pytest.mark.parametrize("kind", ["mpt", "gpt_neo", "rwkv", "llama"])
def test_models_that_padding_within_a_row_would_change_get_whole_prompts(tmp_path: Path, kind: str) -> None:
    """Distances that count padding, positions that change in long rows, a state in place of keys and values."""
    with eval_mode(writer := _odd_model(kind)):
        assert SharedPrompt.of(writer, prompts(tmp_path), range(5), CPU) is None
        if kind == "llama":
            assert SharedPrompt.of(writer, prompts(tmp_path), [2, 3, 4], CPU) is not None, "short rows keep theirs"


def test_a_state_that_would_take_in_padding_gets_none(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "llama", "llama")
    rows, asked, decode = prompts(tmp_path), settings(tmp_path), TextDecoder(tmp_path / "llama")
    writer = _odd_model("rwkv")
    alone = written(writer, rows, asked, decode, [[number] for number in range(5)])
    assert written(writer, rows, asked, decode) == alone
    assert len(set(alone.values())) > 1
