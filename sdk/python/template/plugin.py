"""Sends clients with the cookie `canary=1` to a backend of their own."""

from dataclasses import dataclass

import pointsman
from pointsman import questions


@dataclass
class Config:
    """The table `router.config` of the proxy's configuration."""

    backend: str


class Canary:
    """The router: made once from its configuration, then asked on each request."""

    # A decision follows from the answers to questions alone: the proxy may use it again.
    cacheable = True

    def __init__(self, config: Config) -> None:
        backend = pointsman.backends.require("backend", config.backend)
        # The proxy answers this by itself, so that two cached decisions serve all clients.
        self.canary = questions.exact("cookie:canary", {"1": pointsman.backend(backend)})

    def route(self, request: pointsman.Request) -> pointsman.Decision:
        return request.ask(self.canary) or pointsman.next()


Plugin = pointsman.plugin(Canary, Config)
