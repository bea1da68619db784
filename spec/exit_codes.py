"""What every verb exits with, in a module without imports: a command knows it before anything heavy is loaded."""

__all__ = ["ExitCode"]


class ExitCode:
    """The one table of exit codes, the same for every verb."""

    FINE = 0
    COULD_NOT_WORK = 1
    CHANGES = 2
    RECIPE_INVALID = 3
    OVER_BUDGET = 4
    PLAN_STALE = 5
    INTEGRITY = 6
    NOT_REPRODUCED = 7
    GATE_FAILED = 7
    DRIFT = 7
    INCONCLUSIVE = 8
    USAGE = 64
    PROCESS_LOST = 75
    """A process or a machine of the run is gone; apply again. A scheduler may retry this code and signals, no other."""
    SIGNALED = 128
    """To which a run that a signal ended adds the signal's number, as shells do: SIGTERM makes 143, SIGHUP 129."""
    INTERRUPTED = 130
    """By SIGINT."""
