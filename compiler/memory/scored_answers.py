"""Memory of reward models that score written answers: beside a training model, and alone once it is measured."""

from __future__ import annotations

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.layer_inputs import Numbers, Trained
from ftc.compiler.memory.stacks import stacks_of
from ftc.compiler.memory.through_formula import going_through
from ftc.compiler.reward_models import longest_scored
from ftc.spec.companions import Role
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.precisions import precision_card

__all__ = ["scored_phases"]

_FP32 = 4
_NAME = "reward model"


def scored_phases(draft: ClosedDraft, phases: tuple[PhasePeak, ...]) -> tuple[PhasePeak, ...]:
    """A run's phases with its reward models, whose weights no trace follows: an analytical estimate.

    One whose scores are rewards stays beside the model until all is measured, and reads answers when no other pass
    holds anything. One of the evaluation is loaded when the other models have gone.

    Args:
        draft: With a candidate.
        phases: Those without them.
    """
    if "reward_model" in draft.reward_models and (sampling := draft.recipe.task.sampling) is not None:
        weights = _weights(draft, "reward_model")
        phases = tuple(_with(one, {_NAME: weights}) for one in phases)
        beside = next(one.components for one in phases if one.phase == "save")  # what is held between two steps
        most = max((draft.candidate.micro_batch, draft.candidate.eval_batch))
        reading = _reading(draft, "reward_model", most, sampling.max_new_tokens)
        phases = (
            *phases,
            _phase("sampling: rewards", {**beside, "temporaries": beside.get("temporaries", 0) + reading}),
        )
    if "eval_reward_model" in draft.reward_models:
        read = _reading(draft, "eval_reward_model", draft.candidate.eval_batch, draft.eval.max_new_tokens or 0)
        alone = {_NAME: _weights(draft, "eval_reward_model"), "temporaries": read}
        phases = (*phases, _phase("grade: scores", alone))
    return phases


def _phase(name: str, held: dict[str, int]) -> PhasePeak:
    return PhasePeak(phase=name, peak_bytes=sum(held.values()), components=held)


def _with(phase: PhasePeak, more: dict[str, int]) -> PhasePeak:
    return _phase(phase.phase, {**phase.components, **more})


def _weights(draft: ClosedDraft, role: Role) -> int:
    return draft.reward_models[role].model.num_parameters * precision_card(draft.train.precision).frozen.size


def _reading(draft: ClosedDraft, role: Role, rows: int, answer_tokens: int) -> int:
    """Bytes of the widest layer over so many rows, each as long as the longest can be."""
    model, length = draft.reward_models[role].model, longest_scored(draft, role, answer_tokens)
    own = precision_card(draft.train.precision)
    numbers = Numbers(operand=own.products.size, linear=own.products.size, residual=own.frozen.size)
    stacks = stacks_of(model, rows * length, length, 0, masked=rows > 1)
    untrained = Trained(all_weights=False, beside={})
    return max(going_through(stack, numbers, untrained).largest for stack in stacks) + _FP32 * rows
