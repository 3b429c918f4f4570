"""Backends in memory."""

from dataclasses import dataclass, replace
from typing import Dict, Iterable, List, Mapping, Union

from pointsman.backends import Server, State


@dataclass
class Backend:
    """A backend as tests set it; ``servers`` are the contract's records."""

    servers: List[Server]
    queued: int = 0

    def state(self) -> State:
        """Returns the sum over the servers, as the contract does."""
        usable = sum(server.usable for server in self.servers)
        return State(usable, sum(server.active for server in self.servers), self.queued)

    def copies(self) -> List[Server]:
        """Returns copies of the servers, which a plugin can keep."""
        return [replace(server) for server in self.servers]


def made(backends: Union[Iterable[str], Mapping[str, Iterable[str]]]) -> Dict[str, Backend]:
    """Returns backends whose servers are usable and idle."""
    if not isinstance(backends, Mapping):
        backends = {name: [name] for name in backends}
    return {
        name: Backend([Server(server, True, 1, 0, None, None) for server in servers])
        for name, servers in backends.items()
    }
