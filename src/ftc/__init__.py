"""The fine-tuning compiler: a typed recipe, a plan that is proven to fit, a run that can be audited.

The verbs of the command line are functions here, loaded when they are first used:

    import ftc

    planned = ftc.plan("recipe.yaml")
    run = ftc.apply(planned)
    ftc.load(run).predict(["Where is my parcel?"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftc.spec.version import VERSION as __version__  # noqa: N811 - the name that Python expects

if TYPE_CHECKING:
    from ftc.api import (
        Chat,
        Checked,
        Drifted,
        Inspected,
        Model,
        Planned,
        Predictions,
        Profiled,
        Pull,
        Push,
        Run,
        Served,
        apply,
        audit,
        calibrate,
        combine,
        compare,
        data_drift,
        device,
        devices,
        diff,
        drift,
        evaluate,
        evaluate_on_harness,
        evaluate_server,
        export,
        export_model,
        find_run,
        fix,
        format,
        import_recipe,
        init,
        inspect,
        load,
        load_plan,
        lock,
        merge,
        models,
        open_chat,
        pack,
        plan,
        predict,
        profile,
        provenance,
        pull,
        push,
        runs,
        save_plan,
        schema,
        sign,
        tokens,
        track,
        unlock,
        unpack,
        used_by,
        validate,
        verify,
    )
    from ftc.spec.diagnostics import Refusal

__all__ = [
    "Chat",
    "Checked",
    "Drifted",
    "Inspected",
    "Model",
    "Planned",
    "Predictions",
    "Profiled",
    "Pull",
    "Push",
    "Refusal",
    "Run",
    "Served",
    "__version__",
    "apply",
    "audit",
    "calibrate",
    "combine",
    "compare",
    "data_drift",
    "device",
    "devices",
    "diff",
    "drift",
    "evaluate",
    "evaluate_on_harness",
    "evaluate_server",
    "export",
    "export_model",
    "find_run",
    "fix",
    "format",
    "import_recipe",
    "init",
    "inspect",
    "load",
    "load_plan",
    "lock",
    "merge",
    "models",
    "open_chat",
    "pack",
    "plan",
    "predict",
    "profile",
    "provenance",
    "pull",
    "push",
    "runs",
    "save_plan",
    "schema",
    "sign",
    "tokens",
    "track",
    "unlock",
    "unpack",
    "used_by",
    "validate",
    "verify",
]


_OLD_NAMES = {"whence": "provenance", "who_used": "used_by"}
"""Functions by names that work for one release more."""


def __getattr__(name: str) -> Any:
    """Loads a public name on first use, so that `import ftc` costs nothing."""
    if name in _OLD_NAMES:
        import warnings

        warnings.warn(f"`ftc.{name}` is now `ftc.{_OLD_NAMES[name]}`", DeprecationWarning, stacklevel=2)
        name = _OLD_NAMES[name]
    if name not in __all__:
        raise AttributeError(f"module 'ftc' has no attribute {name!r}")
    if name == "Refusal":
        from ftc.spec import diagnostics as home
    else:
        from ftc import api as home  # type: ignore[no-redef]
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
