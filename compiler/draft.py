"""A plan in the making: facts, and the values that passes have settled so far, each with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from ftc.compiler.tokens.judged_tokens import JudgedTokens
from ftc.spec.base import Money
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.calibration import Calibration
from ftc.spec.documents.facts import DeviceFacts, ModelFacts, TeacherFacts
from ftc.spec.documents.judging import JudgeEstimate, JudgeUse
from ftc.spec.documents.memory_trace import TraceAnswer, TraceJob
from ftc.spec.documents.plan import Check, MemoryEstimate, Origin, Step
from ftc.spec.documents.settings import ClassifierSettings, Settings, WordnetSettings
from ftc.spec.documents.streams import RowLengths, SplitReport
from ftc.spec.documents.time import Phase, TimeEstimate, Work, WorkEstimate
from ftc.spec.language.reference import default_reason
from ftc.spec.language.section_tree import section_at
from ftc.spec.language.source import Source
from ftc.spec.sections.recipe import Recipe
from ftc.spec.strategies import StrategySettings, Trained

__all__ = ["Draft", "PastRun"]


@dataclass(frozen=True, slots=True)
class PastRun:
    """What an earlier run tells about speed.

    Attributes:
        device: Name of its device, as plans have it.
        threads: Its CPU threads.
        model: The base model's name.
        strategy: Kind of strategy.
        precision: Of its arithmetic.
        work: What its plan expected of the device, by phase.
        seconds: What each phase took.
        judge_model: What the service of its judge calls the model; empty without one.
        judge: What its judge took; None where nobody was asked, or that wasn't measured.
    """

    device: str
    threads: int
    model: str
    strategy: str
    precision: str
    work: Mapping[Phase, Work]
    seconds: Mapping[Phase, float]
    judge_model: str = ""
    judge: JudgeUse | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """Facts first, then what the passes add. Immutable: every pass returns a new one.

    Attributes:
        recipe: What is wanted.
        source: The recipe's text, for places.
        model: The base model's facts.
        device: The device that the plan is for.
        splits: The compiled data; empty while the passes that shape text run.
        labels: Classes in order; empty for tasks without.
        lengths: Lengths of the rows by split, and of `retention` and `swaps` where those are measured; without them all
            rows of a split count as long as its mean.
        classifier: Who says which answers have a label; None for nobody.
        grader: The model of the classifier.
        judged: Tokens of what a judge is sent about the test rows; None where nobody is asked.
        teacher: The model that is learnt from; None where rows alone teach.
        wordnet: What METEOR takes synonyms from; None where nothing is measured by it.
        groups: Test rows by group, by the columns that results are told apart by.
        past_runs: Earlier runs of the project.
        calibration: What was measured of the device; None where nothing was.
        prices: What an hour of a device costs by the project's policy, by the device's name.
        free_disk: Bytes that are free where the run's folder will lie; None where the run is for another machine.
        packages: Normalised names of the packages that are installed here and that a run may import.
        platform: Tag of this machine's platform, such as `linux-x86_64-cp311`.
        traces: What the memory trace answered so far, by the jobs' keys; None where there is nobody to ask.
        untraced: Why there is nobody to ask.
        values: Settled values by dotted path of `ftc.spec.documents.settings.Settings`, those of `strategy` left out.
        settled_strategy: The settled strategy; None until its pass.
        settled_trained: What it trains of the model; None until its pass.
        origins: Where each value came from, by the same path.
        memory: The estimate, once made.
        questions: Jobs whose traces a pass would decide by; with their answers the passes run again.
        work: What the device has to do.
        time: The estimate, where one could be made.
        judge: What a judge will take; None where nobody is asked.
        disk: Largest sizes of what lies in the run's folder.
        steps: What the run will do.
        checks: What the passes looked at, with results.
        not_checked: What could not be computed, with reasons.
        diagnostics: What the passes found.
    """

    recipe: Recipe
    source: Source
    model: ModelFacts
    device: DeviceFacts
    splits: Mapping[str, SplitReport] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    lengths: Mapping[str, RowLengths] = field(default_factory=dict)
    classifier: ClassifierSettings | None = None
    grader: ModelFacts | None = None
    judged: JudgedTokens | None = None
    teacher: TeacherFacts | None = None
    wordnet: WordnetSettings | None = None
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    past_runs: tuple[PastRun, ...] = ()
    calibration: Calibration | None = None
    prices: Mapping[str, Money] = field(default_factory=dict)
    free_disk: int | None = None
    packages: frozenset[str] = frozenset()
    platform: str = ""
    traces: Mapping[str, TraceAnswer] | None = None
    untraced: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    settled_strategy: StrategySettings | None = None
    settled_trained: Trained | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    memory: MemoryEstimate | None = None
    questions: tuple[TraceJob, ...] = ()
    work: WorkEstimate | None = None
    time: TimeEstimate | None = None
    judge: JudgeEstimate | None = None
    disk: Mapping[str, int] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    checks: tuple[Check, ...] = ()
    not_checked: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def strategy(self) -> StrategySettings:
        """The settled strategy, which is there once its pass has run."""
        assert self.settled_strategy is not None, "`choose_strategy` has run"
        return self.settled_strategy

    @property
    def trained(self) -> Trained:
        """What the strategy trains of the model, once its pass has run."""
        assert self.settled_trained is not None, "`choose_strategy` has run"
        return self.settled_trained

    def derive(self, path: str, value: Any, reason: str) -> Draft:
        """Settles a value that follows from facts, with the reason in words."""
        return self._settle(path, value, Origin(kind="derived", reason=reason))

    def inherit(self, path: str, value: Any, recipe_path: str) -> Draft:
        """Settles a value in another form than the recipe's, with the origin of the recipe's."""
        return self._settle(path, value, self.origin_of(recipe_path))

    def take(self, path: str, recipe_path: str | None = None) -> Draft:
        """Settles a value as the recipe has it, written or default; the paths differ where sections do."""
        at = recipe_path or path
        value = reduce(getattr, at.split("."), self.recipe)
        return self._settle(path, value, self.origin_of(at))

    def origin_of(self, recipe_path: str) -> Origin:
        """Where a value of the recipe came from: its place in a file, the flag that set it, or its default's reason."""
        if self.source.node(recipe_path) is not None:
            return Origin(kind="written", reason=self.source.where(recipe_path))
        *outer, name = recipe_path.split(".")
        section = section_at(tuple(outer), self.source.plain())
        return Origin(kind="default", reason=default_reason(section, name) if section else "default of the language")

    def find(
        self, code: str, summary: str, at: str, *, help: str | tuple[str, ...] = (), notes: str | tuple[str, ...] = ()
    ) -> Draft:
        """Adds a finding at a value of the recipe."""
        found = diagnostic(code, summary, self.source.span(at), help=help, notes=notes, path=at)
        return replace(self, diagnostics=(*self.diagnostics, found))

    def miss(self, what: str) -> Draft:
        """Adds something that could not be computed, with the reason."""
        return replace(self, not_checked=(*self.not_checked, what))

    def settings(self) -> Settings:
        """The settled values as a typed document.

        Raises:
            pydantic.ValidationError: Some value is not settled yet.
        """
        nested: dict[str, Any] = {} if self.settled_strategy is None else {"strategy": self.settled_strategy}
        for path, value in self.values.items():
            *outer, name = path.split(".")
            section = nested
            for part in outer:
                section = section.setdefault(part, {})
            section[name] = value
        return Settings.model_validate(nested)

    def _settle(self, path: str, value: Any, origin: Origin) -> Draft:
        return replace(self, values={**self.values, path: value}, origins={**self.origins, path: origin})
