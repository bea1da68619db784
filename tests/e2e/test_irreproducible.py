"""What made other people's runs irreproducible, each with the test that keeps it from happening here.

The reports are public ones about trainers, trackers and kernels; each row is a kind of fault.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ftc import api
from tests.e2e.conftest import MakeProject

ROOT = Path(__file__).parents[2]

_RESUME = "tests/runtime/test_resume.py"
_SAVED = "tests/e2e/test_saved_plans.py"
_EXECUTE = "tests/runtime/execution/test_execute.py"
_BITWISE = "tests/runtime/test_determinism.py"
_PROBE = "tests/compiler/tokens/test_tokenizer_probe.py"
_STOPPED = "tests/e2e/test_interruption.py"
_SPLITS = "tests/compiler/resolve/rows/test_splits.py"
_SUPERVISED = "tests/runtime/models/test_make_scorer.py"
_REPLAY = "tests/e2e/test_replay.py"
_LOCK = "tests/e2e/test_lock.py"
_ORDER = "tests/runtime/test_batches.py::test_order_depends_on_seed_and_step_alone"

SHOWN: dict[str, str] = {
    "a resumed run gives other results": f"{_RESUME}::test_killed_and_resumed_gives_the_same_bits",
    "batches after a resume follow another order": _ORDER,
    "a resume in the middle of an epoch starts it over": f"{_RESUME}::test_killed_twice",
    "a resume trains rows again that were seen": f"{_RESUME}::test_killed_and_resumed_gives_the_same_bits",
    "conversations after the first epoch come in another order": (
        "tests/runtime/test_batches.py::test_another_seed_and_another_epoch_give_other_orders"
    ),
    "a cache of rows outlives an edit of the file": f"{_LOCK}::test_what_makes_it_stale",
    "preparation takes stale rows after an edit": f"{_SAVED}::test_what_moved_is_named_and_nothing_is_written",
    "a seed in the recipe is not applied": f"{_STOPPED}::test_the_seed_decides_about_the_first_weights",
    "an adapter is made before the seed is set": f"{_EXECUTE}::test_initial_weights_follow_the_seed_and_nothing_else",
    "one recorded seed, two first adapters": f"{_EXECUTE}::test_initial_weights_follow_the_seed_and_nothing_else",
    "equal data, settings and seed give other losses": (
        "tests/runtime/test_light.py::test_a_fresh_process_gives_the_same_bits_and_loads_no_more_than_it_needs"
    ),
    "results scatter with identical settings": (
        f"{_BITWISE}::test_two_processes_that_differ_end_a_bitwise_run_before_its_first_step"
    ),
    "training that nobody can repeat": f"{_BITWISE}::test_a_bitwise_run_is_proven_before_a_model_is_loaded",
    "determinism that was asked for and is not there": (
        f"{_BITWISE}::test_best_effort_tells_and_records_what_it_fell_to"
    ),
    "losses shift with the release of a library": f"{_EXECUTE}::test_another_version_of_a_package",
    "the loss scales with the number of micro-batches": (
        f"{_SUPERVISED}::test_the_gradient_does_not_depend_on_the_micro_batch"
    ),
    "a patch release tokenizes otherwise": f"{_PROBE}::test_a_tokenizer_that_behaves_otherwise_has_another_probe",
    "another tokenizer class is taken for the same files": (
        f"{_PROBE}::test_a_tokenizer_that_behaves_otherwise_has_another_probe"
    ),
    "a template changes upstream, or doesn't": "tests/e2e/test_hub_base.py::test_the_lock_keeps_the_commit",
    "an adapter forgets which commit of the base it belongs to": (
        "tests/e2e/test_tracing.py::test_where_a_file_comes_from"
    ),
    "another number of threads changes the result": (
        f"{_REPLAY}::test_one_thread_more_is_inconclusive_before_anything_is_done"
    ),
    "settings change between start and resume without a word": f"{_LOCK}::test_what_makes_it_stale",
    "the record describes other code than what ran": (
        f"{_EXECUTE}::test_code_that_changes_while_the_run_goes_on_is_told"
    ),
    "rows that are measured are trained on": (
        f"{_SPLITS}::test_order_of_the_file_changes_nothing_and_copies_stay_together"
    ),
    "locks conflict in a line that means nothing": f"{_LOCK}::test_branches_that_touch_different_sections_merge",
    "a cache of prepared rows outlives the code that made them": (
        "tests/e2e/test_irreproducible.py::test_prepared_rows_do_not_outlive_the_code_that_made_them"
    ),
    "shuffled rows can't be resumed": (
        "tests/runtime/test_faults.py::test_a_resume_in_the_middle_of_an_epoch_with_any_accumulation"
    ),
    "attention kernels whose backward pass varies": (
        "tests/compiler/test_determinism.py::test_attention_whose_backward_pass_varies_is_refused"
    ),
    "scores depend on the batch size": f"{_EXECUTE}::test_scores_do_not_depend_on_the_batch_size",
}
"""Faults with the test that shows that they don't happen, or are told."""


@pytest.mark.parametrize("part", ["VERSION", "_FORMAT"])
def test_prepared_rows_do_not_outlive_the_code_that_made_them(
    project: MakeProject, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    recipe = project() / "recipe.yaml"
    before = api.plan(recipe).plan
    assert api.plan(recipe).plan.stream_key == before.stream_key
    monkeypatch.setattr(f"ftc.compiler.tokens.compile_data.{part}", "another")
    assert api.plan(recipe).plan.stream_key != before.stream_key


def test_the_table_is_whole() -> None:
    assert len(SHOWN) == 29


@pytest.mark.parametrize("fault", SHOWN)
def test_the_test_is_there(fault: str) -> None:
    file, _, name = SHOWN[fault].partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
