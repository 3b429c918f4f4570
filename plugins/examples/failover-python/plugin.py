"""Sends requests to a second backend while the first one has no usable server."""

from dataclasses import dataclass

import pointsman
from pointsman import questions


@dataclass
class Config:
    primary: str
    secondary: str


class Failover:
    cacheable = True

    def __init__(self, config: Config) -> None:
        self.primary = pointsman.backend(config.primary)
        self.secondary = pointsman.backend(config.secondary)
        self.primary_usable = questions.usable(config.primary, key="primary")
        pointsman.backends.require("secondary", config.secondary)

    def route(self, request: pointsman.Request) -> pointsman.Decision:
        # A later attempt means that an earlier one reached no server, although the backend seemed
        # usable.
        if request.attempt == 0 and request.ask(self.primary_usable):
            return self.primary
        request.tag("failover", "true")
        return self.secondary


Plugin = pointsman.plugin(Failover, Config)
