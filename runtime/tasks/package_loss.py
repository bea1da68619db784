"""A loss of an installed package in place of the cross entropy, kept to what a plan says of all such losses."""

from __future__ import annotations

from typing import Any

import torch

from ftc.runtime.extensions import failed_at, package_function, words_of
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.settings import Settings
from ftc.spec.extension_points import ExtensionPoint, extension_point
from ftc.spec.heads import head_card

__all__ = ["PackageLoss", "package_loss_of"]

_ALIKE = {"rtol": 1e-3, "atol": 1e-5}
"""How near a target's loss by itself comes to the one among others: rounding, where sums are divided otherwise."""


class PackageLoss:
    """A package's loss of some targets, by their scores.

    Each target's loss depends on its own scores alone, so that it is the same however a step's rows are divided, and
    scores may be computed in chunks. The first call on data checks that.

    Args:
        point: What the task's losses are given.
        name: Package and loss, such as `courtesy-metrics:bounded`.
    """

    def __init__(self, point: ExtensionPoint, name: str) -> None:
        self._point, self._name, self._is_checked = point, name, False
        self._function = package_function(point, name)

    def __call__(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(N,) loss of each target, float32.

        Args:
            scores: (N, C) in float32.
            targets: (N,) right choices, or (N, C) ones.

        Raises:
            Refusal: The package gives no such losses (FTC483).
        """
        found = self._called(scores, targets)
        if len(targets) > 1 and not (self._is_checked or scores.is_meta):
            self._check(scores[:1].detach(), targets[:1], found[:1].detach())
            self._is_checked = True
        return found.float()

    def _called(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        try:
            found: Any = self._function(scores, targets)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:
            raise self._failed(f"raised {words_of(error)}") from error
        shape = (len(targets),)
        if isinstance(found, torch.Tensor) and found.shape == shape and found.is_floating_point():
            return found
        what = (
            f"a tensor of {tuple(found.shape)}, {found.dtype}"
            if isinstance(found, torch.Tensor)
            else type(found).__name__
        )
        raise self._failed(f"returned {what} for {shape[0]} targets, not one number for each")

    def _check(self, scores: torch.Tensor, targets: torch.Tensor, expected: torch.Tensor) -> None:
        with torch.enable_grad():
            alone = self._called(scores.clone().requires_grad_(), targets)
            if not alone.requires_grad:
                raise self._failed("gives no gradient: it detaches what it computes from the scores")
            try:
                alone.sum().backward()
            except RuntimeError as error:
                raise self._failed(f"has no gradient: {words_of(error)}") from error
        if not torch.allclose(alone.detach().float(), expected.float(), equal_nan=True, **_ALIKE):
            raise self._failed("gives a target another loss in a batch than alone, so that it depends on the batch")

    def _failed(self, what: str) -> Refusal:
        return failed_at(self._point, self._name, what)


def package_loss_of(settings: Settings) -> PackageLoss | None:
    """The loss of a package that a plan names; None where it names none."""
    if (name := settings.train.loss) is None:
        return None
    point = head_card(settings.model.head).loss_point
    assert point is not None, "a plan names such a loss where a task has room for it (FTC484)"
    return PackageLoss(extension_point(point), name)
