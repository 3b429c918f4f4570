"""Sends clients with the cookie `canary=1` to a separate backend."""

from dataclasses import dataclass

import pointsman
from pointsman import questions


@dataclass
class Config:
    """The table `router.config` of the proxy's configuration."""

    backend: str


class Canary:
    """The router: constructed once from its configuration, then called for each request."""

    # A decision depends only on the answers to questions, so the proxy can reuse it.
    cacheable = True

    def __init__(self, config: Config) -> None:
        backend = pointsman.backends.require("backend", config.backend)
        # The proxy answers this question by itself, so two cached decisions serve all clients.
        self.canary = questions.exact("cookie:canary", {"1": pointsman.backend(backend)})

    def route(self, request: pointsman.Request) -> pointsman.Decision:
        return request.ask(self.canary) or pointsman.next()


Plugin = pointsman.plugin(Canary, Config)
