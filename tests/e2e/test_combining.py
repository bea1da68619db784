"""`ftc run combine`: the adapters of several runs become one, which is a run of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.strategies.lora import LowRankSettings
from tests.e2e.conftest import Ftc, in_a_copy
from tests.support.projects import make_project, recipe_of


def recipe(name: str, strategy: str = "lora", seed: int = 1) -> str:
    text = recipe_of("generation", strategy, steps=2).replace("name: tiny", f"name: {name}")
    return text.replace("train: {", f"train: {{seed: {seed}, ")


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with three finished runs of a decoder, one of another rank; its tests work on copies."""
    root = tmp_path_factory.mktemp("combining") / "project"
    make_project(root, models, "generation", steps=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(root.parent / "cache"))
        for name, text in {
            "one": recipe("one"),
            "two": recipe("two", seed=2),
            "wide": recipe("wide").replace("rank: 4", "rank: 8"),
        }.items():
            (root / f"{name}.yaml").write_text(text)
            assert api.apply(root / f"{name}.yaml").record.status == "finished"
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return in_a_copy(finished, tmp_path, monkeypatch)


def refusal(*runs: str, **options: object) -> str:
    with pytest.raises(Refusal) as refused:
        api.combine(runs, **options)  # type: ignore[arg-type]
    assert {one.code for one in refused.value.diagnostics} == {"FTC569"}
    assert all(one.help for one in refused.value.diagnostics)
    return " ".join(one.summary for one in refused.value.diagnostics)


@pytest.mark.slow
def test_the_result_is_a_run_like_any_other(root: Path, ftc: Ftc) -> None:
    import torch
    from safetensors.torch import load_file

    answer = ftc("run", "combine", "one", "two", "--weights", "0.75", "0.25", "--method", "cat", "--json")
    assert answer.code == 0, answer.err
    run = api.find_run("one-combined")
    assert json.loads(answer.out)["record"]["id"] == run.record.id
    made = run.plan.settings.model.combined
    assert made is not None
    assert [(one.name, one.weight) for one in made.adapters] == [("one", 0.75), ("two", 0.25)]
    assert (run.record.status, run.record.steps_done) == ("finished", 0)
    assert run.evaluation is not None

    parts = [load_file(api.find_run(name).folder / "adapter/adapter_model.safetensors") for name in ("one", "two")]
    whole = load_file(run.folder / "adapter/adapter_model.safetensors")
    for name in (one for one in whole if ".lora_A." in one):
        second = name.replace(".lora_A.", ".lora_B.")
        strategy = api.find_run("one").plan.settings.strategy
        assert isinstance(strategy, LowRankSettings)
        scale = strategy.adapter.alpha / 4
        ought = scale * (0.75 * parts[0][second] @ parts[0][name] + 0.25 * parts[1][second] @ parts[1][name])
        assert torch.allclose(whole[second] @ whole[name], ought, atol=1e-6)

    report = api.audit(run)
    assert report.findings == ()
    assert "one-combined" in ftc("show", run.record.id).text or run.record.id in ftc("show", run.record.id).text
    assert ftc("predict", run.record.id, "the bank").code == 0
    assert ftc("eval", run.record.id).code == 0
    merged = ftc("merge", run.record.id, "-o", "merged/both", "--json")
    assert merged.code == 0, merged.err
    assert api.combine(["one", "two"], weights=[0.75, 0.25], method="cat").record == run.record


@pytest.mark.slow
@pytest.mark.parametrize("method", ["linear", "ties", "dare_linear", "dare_ties", "magnitude_prune", "svd"])
def test_each_method_gives_the_same_bits_again(root: Path, method: str) -> None:
    options = {} if method in ("linear", "svd") else {"density": 0.5}
    first, second = (api.combine(["one", "two"], method=method, name=name, **options) for name in ("a", "b"))  # type: ignore[arg-type]
    assert first.record.status == "finished"
    assert first.record.final_weights_sha256 == second.record.final_weights_sha256
    assert api.audit(first).verdict == "CONSISTENT"


@pytest.mark.slow
def test_what_peft_can_not_combine_is_refused(root: Path) -> None:
    assert "adapters of one rank" in refusal("one", "wide")
    assert "two different runs" in refusal("one", "one")
    assert "weights for" in refusal("one", "two", weights=[1.0])
    assert "share" in refusal("one", "two", method="ties")
    assert "`--density 2`" in refusal("one", "two", method="ties", density=2)
    assert "`--seed` has no effect" in refusal("one", "two", method="ties", density=0.5, seed=3)
    assert "all weights are 0" in refusal("one", "two", weights=[0, 0])
    assert "no effect" in refusal("one", "two", density=0.5)
    assert "finite" in refusal("one", "two", weights=[float("nan"), 1.0])
    assert "name a run" in refusal("one", "two", name="../elsewhere")
    base = "base: ./decoder"
    for name, text in {
        "odd": recipe("odd", "lora, dora: true"),
        "far": recipe("far").replace(base, f"{base}, rope: {{kind: yarn, factor: 2}}"),
        "words": recipe("words").replace(base, f"{base}, add_tokens: [<order>]"),
    }.items():
        (root / f"{name}.yaml").write_text(text)
        api.apply(f"{name}.yaml")
    assert "DoRA" in refusal("one", "odd")
    assert "other positions" in refusal("one", "far")
    assert "rows of the embedding" in refusal("one", "words")
