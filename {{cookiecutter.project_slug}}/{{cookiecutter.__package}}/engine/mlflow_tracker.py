"""MLflow: a run on the server that MLFLOW_TRACKING_URI names, or else in ``mlflow.db``."""

import os
import time
from importlib import import_module
from typing import Any

from .files import PROJECT, read_toml
from .tracker import SECONDS, Tracker


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

    def add(self, step: int, values: dict[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [self.entities.Metric(name, v, now, step) for name, v in values.items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def add_files(self, step: int) -> None:
        for path in self.files():
            folder = "figures" if path.suffix == ".png" else None
            self.client.log_artifact(self.run_id, str(path), folder)

    def close(self, status: str) -> None:
        self.client.set_terminated(self.run_id, status)
