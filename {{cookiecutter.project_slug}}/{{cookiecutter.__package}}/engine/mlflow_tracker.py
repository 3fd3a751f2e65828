"""MLflow: a run on the server that MLFLOW_TRACKING_URI names, or else in ``mlflow.db``."""

import os
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from .files import PROJECT, read_toml
from .trackers import SECONDS, Tracker, Values

MOST = 1000  # values in a request


class MLflow(Tracker):
    """The run is found by a tag; what it has is asked for."""

    def connect(self, identity: str) -> None:
        # Without these, a request to a server that is down takes minutes to fail.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(SECONDS))
        mlflow = import_module("mlflow")
        self.entities, self.client = import_module("mlflow.entities"), mlflow.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT.name
        self.place = f"run {self.directory.name} of {name} in {mlflow.get_tracking_uri()}"
        run = self._find(name, identity)
        self.run_id = run.info.run_id
        self.client.update_run(self.run_id, status="RUNNING")
        settings = read_toml(self.directory / "hyperparameters.toml").items()
        new = [(key, str(value)) for key, value in settings if key not in run.data.params]
        self.client.log_batch(self.run_id, params=[self.entities.Param(*item) for item in new])
        for metric in run.data.metrics:
            history = self.client.get_metric_history(self.run_id, metric)
            self.known |= {(metric, value.step) for value in history}

    def _find(self, experiment: str, identity: str) -> Any:
        found = self.client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self.client.create_experiment(experiment)
        for run in self.client.search_runs([number], f"tags.directory_id = '{identity}'"):
            return run
        tags = {"directory_id": identity}
        return self.client.create_run(number, tags=tags, run_name=self.directory.name)

    def add(self, rows: Sequence[Values]) -> None:
        now = int(time.time() * 1000)
        metrics = [
            self.entities.Metric(name, value, now, step)
            for step, values in rows
            for name, value in values.items()
        ]
        for start in range(0, len(metrics), MOST):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + MOST])

    def add_files(self, step: int) -> None:
        for path in self.documents():
            self.client.log_artifact(self.run_id, str(path))
        for path in self.figures():
            self.client.log_artifact(self.run_id, str(path), "figures")

    def close(self, status: str) -> None:
        self.client.set_terminated(self.run_id, status)
