"""What MLflow loads a registered model with: code that is copied into the model, and serves a run by ftc.

The rows of a request are answered as `ftc predict` answers them, prompt template and labels included.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas

from ftc.verbs.predict import load

__all__ = ["RegisteredRun"]


class RegisteredRun(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types here
    """A finished run, in a project that holds nothing else."""

    def load_context(self, context: Any) -> None:
        """Loads the run's model."""
        (record,) = Path(context.artifacts["project"]).glob("runs/*/*/record.json")
        self._model = load(record.parent)

    def predict(self, context: Any, model_input: pandas.DataFrame, params: Any = None) -> pandas.DataFrame:  # noqa: ARG002
        """A prediction for each row; an empty text where there is none."""
        found = self._model.predict(model_input.to_dict("records"))
        return pandas.DataFrame({"prediction": [one.prediction or "" for one in found]})


mlflow.models.set_model(RegisteredRun())
