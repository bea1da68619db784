"""Before training, the first steps twice in fresh processes: what two runs have in common is seen, not assumed."""

from __future__ import annotations

from ftc.runtime.execution.session import Session
from ftc.runtime.replay.replay import Replayed, replay_in_fresh_process, scratch_folder
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.audit import ReplayRequest
from ftc.spec.documents.record import DeterminismSeen
from ftc.spec.documents.step_log import Difference, checksum_steps, first_difference, line_text, read_step_log
from ftc.spec.storage.atomic_write import write_file

__all__ = ["compare_with_proof", "prove"]


def prove(session: Session) -> None:
    """Has the first steps done twice, and writes into the record what came of it; a run that is resumed has done so.

    Raises:
        Refusal: The two differ, and the plan asks for no less than the same bits.
    """
    steps = session.plan.settings.train.determinism.proof_steps
    if session.folder.proof.exists() or session.state.record.continued:
        return  # of steps that other processes shared, these prove nothing
    with session.journal.phase("prove", f"{steps} steps twice"):
        first, second = _replayed(session, steps), _replayed(session, steps)
        session.prove_inputs()
        parted = first_difference(first.step_log, second.step_log, 0, steps)
        if parted is not None:
            _fall(session, steps, "two fresh processes gave different results", parted)
        write_file(session.folder.proof, b"".join(map(line_text, first.step_log.lines(steps))))
    if parted is None:
        detail = f"the first {steps} steps gave the same bits in two fresh processes"
        session.state.update(determinism=DeterminismSeen(level="D1", proof_steps=steps, detail=detail))


def compare_with_proof(session: Session) -> None:
    """Compares the run's own first steps with the proof's; a run must not differ from what was proven about it.

    Raises:
        Refusal: They differ, and the plan asks for no less than the same bits.
    """
    seen = session.state.record.determinism
    if seen.level == "D0":  # it is known already that runs differ
        return
    parted = first_difference(read_step_log(session.folder.proof), session.step_log.read(), 0, seen.proof_steps)
    if parted is not None:
        _fall(session, seen.proof_steps, "the run differs from a fresh process", parted)


def _replayed(session: Session, steps: int) -> Replayed:
    with scratch_folder() as scratch:
        request = ReplayRequest(
            plan=session.plan,
            model_folder=str(session.inputs.model_folder.absolute()),
            streams_folder=str(session.inputs.streams_folder.absolute()),
            companion_folders={role: str(one.absolute()) for role, one in session.inputs.companions.items()},
            environment=session.inputs.environment,
            scratch=str(scratch),
            last_step=steps,
            checksums=tuple(checksum_steps(steps)),
        )

        def go_on(_answer: object) -> bool:
            session.stop.check()
            return True

        found = replay_in_fresh_process(request, go_on)
    if found.problem is not None:
        raise Refusal([found.problem])
    return found


def _fall(session: Session, steps: int, what: str, parted: Difference) -> None:
    """Notes a lower level than was asked for; in silence it never happens."""
    where = f"{what} at step {parted.step}: {parted.component}"
    session.state.update(determinism=DeterminismSeen(level="D0", proof_steps=steps, detail=where))
    if session.plan.settings.train.determinism.asked == "bitwise":
        raise Refusal([_different(where, parted)])
    session.notice(diagnostic("FTC643", f"{where}; the run continues without this check"))


def _different(where: str, parted: Difference) -> Diagnostic:
    tensor = (f"first tensor that differs: {parted.tensor}",) if parted.tensor else ()
    return diagnostic(
        "FTC642",
        where,
        notes=(f"{parted.expected} in one, {parted.found} in the other", *tensor),
        help="use one thread, another `model.attention`, or `train.determinism: best_effort`",
        path="train.determinism",
    )
