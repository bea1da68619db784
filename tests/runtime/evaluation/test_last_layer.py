"""A class needs one place of the last layer's end: the same scores, and nothing left out that is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import transformers

from ftc.runtime.evaluation.scoring import eval_mode, score_rows
from ftc.runtime.evaluation.shortcuts import LastLayer, find_last_layer
from ftc.runtime.execution.accelerator import make_accelerator
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.runtime.training.signals import StopRequest
from ftc.spec.documents.streams import open_stream
from tests.runtime.jobs import Job, make_job

SHAPE: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "num_labels": 3,
    "pad_token_id": 0,
    "cls_token_id": None,
    "sep_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
LENGTH = 6


def scored(job: Job) -> tuple[list[Any], list[Any], Any]:
    """What a run says of the test rows, what each row says by itself as the model comes, and the scorer."""
    settings, rows = job.plan.settings, open_stream(job.inputs.streams_folder / "test.arrow")
    model = build_model(settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    scorer: Any = make_scorer(model, settings)
    with eval_mode(model):
        batches = score_rows(ModelWithScorer(model, scorer), rows, 4, make_accelerator(settings), StopRequest())
        found = sorted(score for batch in batches for score in batch)
        usual = []
        for number in range(len(rows)):
            batch = scorer.batch(rows, [number])
            logits = scorer.logits(model, batch)
            usual.append((scorer.losses(logits, batch).item(), scorer.predictions(logits, batch)[0]))
    return found, usual, scorer


@pytest.mark.parametrize(
    ("kind", "strategy"), [("bert", "full"), ("bert", "lora"), ("llama", "lora"), ("gpt2", "full"), ("gemma2", "full")]
)
def test_rows_score_as_they_do_one_by_one(tmp_path: Path, kind: str, strategy: str) -> None:
    found, usual, scorer = scored(make_job(tmp_path, kind, strategy, classes=3, model__attention="eager"))
    assert scorer._last_layer.modules, "there is something that can be left out"
    for score, (loss, predicted) in zip(found, usual, strict=True):
        assert score.loss_sum == pytest.approx(loss, abs=1e-5)
        assert score.predicted[0] == predicted[0]
    assert not [module for module in scorer._last_layer.modules if "forward" in vars(module)]


def test_states_of_other_rows_go_through_as_they_are() -> None:
    """As where virtual tokens stand before each row, so that places are others."""
    layer = torch.nn.Linear(4, 4)
    states = torch.randn(2, LENGTH + 3, 4)
    with torch.inference_mode(), LastLayer([layer]).at(torch.zeros(2, dtype=torch.int64), LENGTH):
        assert torch.equal(layer(states), torch.nn.functional.linear(states, layer.weight, layer.bias))


def shortened(model: Any, place: int) -> tuple[set[str], int]:
    """The last layer's modules that one place is enough for, and the places of a row that the widest of them sees."""
    model.eval()
    ids = torch.arange(2, 2 + 2 * LENGTH).view(2, LENGTH)

    def logits() -> torch.Tensor:
        found: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        return found

    with torch.inference_mode():
        usual = logits()
        found = find_last_layer(model, logits, places := torch.full((2,), place), LENGTH)
        seen: list[int] = []
        widest = max(
            (layer for part in found.modules for layer in part.modules() if isinstance(layer, torch.nn.Linear)),
            key=lambda layer: layer.weight.numel(),
            default=None,
        )
        hook = widest and widest.register_forward_pre_hook(lambda _, states: seen.append(states[0].shape[1]))
        with found.at(places, LENGTH):
            torch.testing.assert_close(logits(), usual, rtol=1e-4, atol=1e-5)
        if hook:
            hook.remove()
    names = {module: name for name, module in model.named_modules()}
    return {names[module].rpartition("layers.1.")[2] for module in found.modules}, sum(seen)


def modernbert(pooling: Literal["cls", "mean"]) -> Any:
    config = transformers.ModernBertConfig(**SHAPE, classifier_pooling=pooling)
    return transformers.ModernBertForSequenceClassification(config)


def test_a_head_that_reads_the_first_place() -> None:
    assert shortened(modernbert("cls"), 0) == ({"attn.Wo", "attn.out_drop", "mlp_norm", "mlp"}, 1)


def test_a_head_that_reads_all_places_gets_them() -> None:
    assert shortened(modernbert("mean"), 0) == (set(), 0)


def test_a_head_that_reads_another_place_gets_it() -> None:
    assert shortened(modernbert("cls"), LENGTH - 1) == (set(), 0)


def test_layers_that_share_their_weights_are_left_whole() -> None:
    albert = transformers.AlbertConfig(**SHAPE, embedding_size=16)
    assert shortened(transformers.AlbertForSequenceClassification(albert), 0) == (set(), 0)


def test_what_cant_do_with_one_place_is_left_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model = modernbert("cls")
    mlp = type(model.model.layers[1].mlp)
    usual = mlp.forward

    def wants_all(layer: Any, states: torch.Tensor) -> torch.Tensor:
        if states.shape[1] == 1:
            raise ValueError("too few")
        found: torch.Tensor = usual(layer, states)
        return found

    monkeypatch.setattr(mlp, "forward", wants_all)
    assert "mlp" not in shortened(model, 0)[0]


def test_where_states_are_written_into_all_are_computed() -> None:
    model = modernbert("cls")
    model.model.layers[1].mlp.register_forward_hook(lambda _layer, _inputs, states: states.mul_(1.0))
    assert shortened(model, 0) == (set(), 0)
