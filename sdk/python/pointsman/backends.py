"""What the proxy knows about its backends.

Calling any of these functions in ``route`` makes the decision uncacheable; a question,
``questions.usable``, does not. While a plugin is configured, every server counts as usable and
idle.
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
    """Every backend of the configuration."""
    return _contract.backends.names()


def state(name: str) -> Optional[State]:
    """The load of a backend; None for a name that is not in the configuration."""
    return _contract.backends.state(_contract.text(name))


def servers(name: str) -> Optional[List[Server]]:
    """The servers of a backend; None for a name that is not in the configuration."""
    return _contract.backends.servers(_contract.text(name))


def exists(name: str) -> bool:
    """Whether the configuration has a backend of this name."""
    return state(name) is not None


def require(key: str, name: str) -> str:
    """The name; raises ``ConfigError`` at this key if the configuration has no such backend."""
    if not exists(name):
        raise ConfigError(key, f"there is no backend {json.dumps(name, ensure_ascii=False)}")
    return name
