"""Sends a share of the sessions to a separate backend, and each session always to the same server.
"""

from dataclasses import dataclass

import pointsman
from pointsman import questions


@dataclass
class Config:
    backend: str
    percent: float
    cookie: str = "session"


class StickyCanary:
    cacheable = True

    def __init__(self, config: Config) -> None:
        if not 0 <= config.percent <= 100:
            raise pointsman.ConfigError("percent", "must be within 0 to 100")
        self.backend = pointsman.backend(pointsman.backends.require("backend", config.backend))
        part = f"cookie:{config.cookie}"
        share = round(config.percent * 10_000)
        self.canary = questions.share(part, salt="canary", per_million=share, key="cookie")
        self.session = questions.value(part, key="cookie")

    def route(self, request: pointsman.Request) -> pointsman.Decision:
        request.set_affinity_by(self.session)
        request.tag_by("session", self.session)
        if not request.ask(self.canary):
            return pointsman.next()
        request.tag("canary", "true")
        return self.backend


Plugin = pointsman.plugin(StickyCanary, Config)
