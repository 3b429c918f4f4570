"""Write routing plugins for Pointsman in Python.

A plugin is a class that is made from its configuration and has a method ``route``; ``plugin``
makes it the component's ``Plugin``. Tests run natively: see ``pointsman.testing``.
"""

from pointsman import backends, log
from pointsman._config import ConfigError
from pointsman._contract import Decision
from pointsman._decision import backend, default_backend, redirect, respond
from pointsman._plugin import plugin
from pointsman._request import Client, EditError, Request, Tls, without_port

__all__ = [
    "Client",
    "ConfigError",
    "Decision",
    "EditError",
    "Request",
    "Tls",
    "backend",
    "backends",
    "default_backend",
    "log",
    "plugin",
    "redirect",
    "respond",
    "without_port",
]
