"""The state of the proxy's backends.

Calling any of these functions in ``route`` makes the decision uncacheable. To find out whether a
backend is usable, ask ``questions.usable`` instead. While a plugin is being configured, every
server counts as usable and idle.
"""

import json
from typing import List, Optional

from pointsman import _contract
from pointsman._config import ConfigError

State = _contract.backends.Backend
"""``usable_servers``, ``active`` (requests and tunnels), ``queued``."""

Server = _contract.backends.Server
"""``name``, ``usable``, ``weight``, ``active``, ``limit`` (None without one), ``latency`` (in
microseconds; None before the first response)."""


def names() -> List[str]:
    """Returns the names of all backends in the proxy's configuration."""
    return _contract.backends.names()


def state(name: str) -> Optional[State]:
    """Returns the load of the backend ``name``; None if the proxy's configuration has no such
    backend.
    """
    return _contract.backends.state(_contract.text(name))


def servers(name: str) -> Optional[List[Server]]:
    """Returns the servers of the backend ``name``; None if the proxy's configuration has no such
    backend.
    """
    return _contract.backends.servers(_contract.text(name))


def exists(name: str) -> bool:
    """Reports whether the proxy's configuration has the backend ``name``."""
    return state(name) is not None


def require(key: str, name: str) -> str:
    """Returns the name; raises ``ConfigError`` at this key if the proxy's configuration has no such
    backend.
    """
    if not exists(name):
        raise ConfigError(key, f"there is no backend {json.dumps(name, ensure_ascii=False)}")
    return name
