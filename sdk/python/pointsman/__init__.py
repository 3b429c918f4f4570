"""Write routing plugins for Pointsman in Python.

A plugin is a class that is constructed from its configuration and has a method ``route``.
``plugin`` makes the component's ``Plugin`` from it. Tests run natively: see ``pointsman.testing``.
"""

from pointsman import backends, log, questions
from pointsman._config import ConfigError
from pointsman._contract import Decision
from pointsman._decision import Fallback, backend, default_backend, next, redirect, respond, server
from pointsman._plugin import plugin
from pointsman._request import EditError, Request

__all__ = [
    "ConfigError",
    "Decision",
    "EditError",
    "Fallback",
    "Request",
    "backend",
    "backends",
    "default_backend",
    "log",
    "next",
    "plugin",
    "questions",
    "redirect",
    "respond",
    "server",
]
