"""The table of verbs, in the sections in which people look for them, and the way to each.

A verb's module is imported when the verb runs, and never by a name made at run time: what can be called is in here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ftc.cli.arguments import Command

__all__ = ["GROUPS", "MOVED", "SECTIONS", "VERBS", "Group", "Verb", "verb_named"]


class Verb(NamedTuple):
    """A row of the table."""

    name: str
    """As it is typed: `plan`, or behind its group, `run list`."""
    load: Callable[[], Mapping[str, Command]]
    """Imports its module, and gives what stands there."""
    help: str

    @property
    def command(self) -> Command:
        """Its arguments and what it does, once its module is imported."""
        return self.load()[self.name]


class Group(NamedTuple):
    """Verbs behind one word, such as those for runs."""

    name: str
    help: str
    verbs: tuple[Verb, ...]


def _recipes() -> Mapping[str, Command]:
    from ftc.cli.recipes import COMMANDS

    return COMMANDS


def _starting() -> Mapping[str, Command]:
    from ftc.cli.starting import COMMANDS

    return COMMANDS


def _plans() -> Mapping[str, Command]:
    from ftc.cli.plans import COMMANDS

    return COMMANDS


def _evaluating() -> Mapping[str, Command]:
    from ftc.cli.evaluating import COMMANDS

    return COMMANDS


def _training() -> Mapping[str, Command]:
    from ftc.cli.training import COMMANDS

    return COMMANDS


def _using() -> Mapping[str, Command]:
    from ftc.cli.using import COMMANDS

    return COMMANDS


def _inspecting() -> Mapping[str, Command]:
    from ftc.cli.inspecting import COMMANDS

    return COMMANDS


def _drifting() -> Mapping[str, Command]:
    from ftc.cli.drifting import COMMANDS

    return COMMANDS


def _chatting() -> Mapping[str, Command]:
    from ftc.cli.chatting import COMMANDS

    return COMMANDS


def _history() -> Mapping[str, Command]:
    from ftc.cli.history import COMMANDS

    return COMMANDS


def _sweeps() -> Mapping[str, Command]:
    from ftc.cli.sweeps import COMMANDS

    return COMMANDS


def _models() -> Mapping[str, Command]:
    from ftc.cli.models import COMMANDS

    return COMMANDS


def _watching() -> Mapping[str, Command]:
    from ftc.cli.watching import COMMANDS

    return COMMANDS


def _tracking() -> Mapping[str, Command]:
    from ftc.cli.tracking import COMMANDS

    return COMMANDS


def _completion() -> Mapping[str, Command]:
    from ftc.cli.completion import COMMANDS

    return COMMANDS


def _launching() -> Mapping[str, Command]:
    from ftc.cli.launching import COMMANDS

    return COMMANDS


def _packing() -> Mapping[str, Command]:
    from ftc.cli.packing import COMMANDS

    return COMMANDS


def _exporting() -> Mapping[str, Command]:
    from ftc.cli.exporting import COMMANDS

    return COMMANDS


def _sharing() -> Mapping[str, Command]:
    from ftc.cli.sharing import COMMANDS

    return COMMANDS


def _proofs() -> Mapping[str, Command]:
    from ftc.cli.proofs import COMMANDS

    return COMMANDS


RUN = Group(
    "run",
    "list, compare, evaluate, merge, share and sign runs",
    (
        Verb("run list", _history, "list the runs of this project"),
        Verb("run show", _history, "show a run or a saved plan"),
        Verb("run compare", _history, "compare runs on the same test rows"),
        Verb("run diff", _history, "show what differs between two runs, and what has to be done"),
        Verb("run eval", _evaluating, "evaluate a finished run again, on its test rows or on a file"),
        Verb("run inspect", _inspecting, "show what training changed in the weights, and in the states between layers"),
        Verb("run profile", _inspecting, "show where the time of a training step goes"),
        Verb("run rate", _history, "compare answers by hand, without knowing which model wrote them"),
        Verb("run merge", _using, "merge a run's adapter into its base model"),
        Verb("run combine", _using, "make one adapter of the adapters of several runs"),
        Verb("run export", _exporting, "write a run's model for other programs, its provenance or bill of materials"),
        Verb("run push", _sharing, "put a run's model into a repository of the hub, with its card and its proof"),
        Verb("run pull", _sharing, "bring back a run that was pushed"),
        Verb("run track", _tracking, "send a run to an experiment tracker, or what one has missed"),
        Verb("run sign", _proofs, "sign a finished run, or any folder, with your own key"),
        Verb("run verify", _proofs, "verify a signed folder"),
        Verb("run unlock", _history, "free a run whose process is gone"),
    ),
)
SWEEP = Group(
    "sweep",
    "search settings of a recipe by validation",
    (
        Verb("sweep plan", _sweeps, "plan every corner of a search, and show whether it fits"),
        Verb("sweep apply", _sweeps, "run the trials of a search, or go on with them"),
        Verb("sweep show", _sweeps, "show the trials, what mattered, and the best"),
        Verb("sweep pick", _sweeps, "put the best values into the recipe, if they are shown to be better"),
        Verb("sweep audit", _sweeps, "check that the search draws these trials, and that their runs say these values"),
    ),
)
DEVICE = Group(
    "device",
    "list devices, and benchmark this machine's",
    (
        Verb("device list", _plans, "list the devices that a plan can be made for"),
        Verb("device show", _plans, "show one device with its sources"),
        Verb("device calibrate", _plans, "benchmark this machine's device, so that plans can estimate time"),
    ),
)

SECTIONS: dict[str, tuple[Verb | Group, ...]] = {
    "write a recipe": (
        Verb("init", _starting, "write a starter recipe"),
        Verb("import", _recipes, "turn another tool's configuration into a recipe"),
        Verb("validate", _recipes, "check a recipe without loading models or data; --fix applies safe fixes"),
        Verb("fmt", _recipes, "format recipes"),
        Verb("explain", _recipes, "explain the code of a finding"),
    ),
    "plan and run": (
        Verb("plan", _plans, "show what a recipe would run, and whether it fits"),
        Verb("models", _models, "list base models, each planned for a recipe's task, rows and device"),
        Verb("tokens", _plans, "show rows as the model reads them, and which tokens are trained on"),
        Verb("lock", _plans, "resolve and pin the recipe's model, data and packages"),
        Verb("diff", _history, "compare two recipes, locks, plans or runs, and show what has to be done"),
        Verb("apply", _training, "train and evaluate what a recipe or a saved plan says"),
        Verb("launch", _launching, "run a saved plan on several machines, or on a cluster"),
        Verb("pack", _packing, "put a saved plan with all that its run needs into one file"),
        Verb("unpack", _packing, "unpack such a file, for a machine without the rows or the hub"),
        Verb("watch", _watching, "follow a run, or keep a page of all runs up to date"),
        SWEEP,
    ),
    "use and check runs": (
        Verb("predict", _using, "use a finished run's model on texts or on a file, without labels"),
        Verb("chat", _chatting, "chat with a finished run's model, and compare it with its base"),
        Verb("drift", _drifting, "compare new rows with a run's own: inputs, answers, and metrics where labels are"),
        Verb("show", _history, "show a run or a saved plan"),
        Verb("audit", _proofs, "check a run against its record, or train it again"),
        Verb("provenance", _proofs, "show which recipe, data, base and run made a file of weights"),
        Verb("used-by", _proofs, "list the locks and runs that contain a digest"),
        RUN,
    ),
    "set up": (
        DEVICE,
        Verb("schema", _recipes, "print the recipe language as JSON Schema, for editors"),
        Verb("lsp", _recipes, "serve editors while a recipe is written"),
        Verb("completion", _completion, "print the completion script of a shell"),
    ),
}
"""Verbs and groups in the order in which a newcomer meets them."""

GROUPS: dict[str, Group] = {one.name: one for section in SECTIONS.values() for one in section if isinstance(one, Group)}
"""Every group by its name."""

VERBS: dict[str, Verb] = {
    verb.name: verb
    for section in SECTIONS.values()
    for one in section
    for verb in (one.verbs if isinstance(one, Group) else (one,))
}
"""Every verb by its name, those of groups included."""

MOVED: dict[str, str] = {
    "runs": "run list",
    "compare": "run compare",
    "eval": "run eval",
    "rate": "run rate",
    "merge": "run merge",
    "export": "run export",
    "sign": "run sign",
    "verify": "run verify",
    "unlock": "run unlock",
    "devices": "device list",
    "calibrate": "device calibrate",
    "whence": "provenance",
    "who-used": "used-by",
}
"""Names of verbs until 0.1, which work for one more release, with the names that they have now."""


def verb_named(words: Sequence[str]) -> tuple[Verb | None, Sequence[str]]:
    """The verb that a command line begins with, by its name now or before, and the words behind it."""
    for count in (2, 1):
        name = " ".join(words[:count])
        if found := VERBS.get(MOVED.get(name, name)):
            return found, words[count:]
    return None, words
