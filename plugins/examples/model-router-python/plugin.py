"""Sends requests to backends by the model that their JSON body names."""

from dataclasses import dataclass
from typing import Dict

import pointsman
from pointsman import questions


@dataclass
class Config:
    models: Dict[str, str]
    member: str = "/model"


class ModelRouter:
    cacheable = True

    def __init__(self, config: Config) -> None:
        for model, backend in config.models.items():
            pointsman.backends.require(f"models.{model}", backend)
        part = f"body-json:{config.member}"
        self.model = questions.value(part, key="member")
        self.backend = questions.exact(part, config.models, key="models")

    def route(self, request: pointsman.Request) -> pointsman.Decision:
        request.tag_by("model", self.model)
        backend = request.ask(self.backend)
        return pointsman.next() if backend is None else pointsman.backend(backend)


Plugin = pointsman.plugin(ModelRouter, Config)
