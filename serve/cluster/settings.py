"""Settings of a cluster, from `mfp serve --ray` or from a configuration file of Ray Serve."""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...engine.packaged import DEFAULT
from ..settings import Limits, Settings


class ClusterSettings(BaseModel):
    """Networks, replicas and limits; docs/cluster.md explains them."""

    model_config = ConfigDict(extra="forbid")

    store: str = Field(description="redis://HOST:PORT/DB; of one machine also sqlite:////FILE")
    networks: list[str] = Field(default=[DEFAULT], min_length=1, description="lite0 or files that all machines have")
    runtime: str = "auto"
    device: str = "auto"
    precision: str | None = None
    threads: int | None = Field(default=None, ge=1, description="CPU threads of one pass; null: a worker's CPUs")
    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=0, ge=0, description="0: no more than min_replicas")
    cpus: float = Field(default=1.0, ge=0, description="of one replica; fractions are allowed")
    gpus: float = Field(default=0.0, ge=0, description="of one replica; 0.25: four replicas share one")
    busy: float = Field(default=2.0, gt=0, description="clicks at work or waiting that one replica is to have")
    workers: int = Field(default=1, ge=1, description="clicks that one replica works on side by side")
    batching: bool | None = Field(default=None, description="null: on a GPU")
    limits: dict[str, int] = Field(default={}, description="see mfp.serve.settings.Limits")
    http: dict[str, Any] = Field(default={}, description="see mfp.serve.settings.Settings")

    @model_validator(mode="after")
    def _complete(self) -> ClusterSettings:
        self.max_replicas = max(self.max_replicas, self.min_replicas)
        self.threads = self.threads or max(int(self.cpus) // self.workers, 1)
        self.session_limits(), self.http_settings()
        return self

    def session_limits(self) -> Limits:
        return Limits(**self.limits)

    def http_settings(self) -> Settings:
        # Other users may read a configuration file, so the token comes from the environment, as on one machine.
        return Settings(**{"token": os.environ.get("MFP_TOKEN", ""), **self.http})
