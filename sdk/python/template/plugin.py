"""Sends clients that have the cookie `canary=1` to a backend of their own."""

from dataclasses import dataclass

import pointsman


@dataclass
class Config:
    """The table `router.config` of the proxy's configuration."""

    backend: str


class Canary:
    """The router: made once from its configuration, then asked on each request."""

    # A decision follows from the request alone: the proxy may use it again.
    cacheable = True

    def __init__(self, config: Config) -> None:
        if not pointsman.backends.exists(config.backend):
            raise pointsman.ConfigError("backend", f'there is no backend "{config.backend}"')
        self.backend = pointsman.backend(config.backend)

    def route(self, request: pointsman.Request) -> pointsman.Decision:
        if request.cookie("canary") == b"1":
            return self.backend
        return pointsman.default_backend()


Plugin = pointsman.plugin(Canary, Config)
