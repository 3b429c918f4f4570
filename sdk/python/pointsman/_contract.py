"""The generated bindings, for the rest of the package.

In a component they are those that the build makes. Natively they are the committed ones, whose
functions do nothing until a test puts a double in their place.
"""

try:
    import wit_world  # noqa: F401
except ImportError:
    import pathlib
    import sys

    sys.path.append(str(pathlib.Path(__file__).parent.parent / "bindings"))

import wit_world.exports as exports
import wit_world.exports.plugin as plugin
import wit_world.imports.backends as backends
import wit_world.imports.log as log
import wit_world.imports.request as request
from componentize_py_types import Err
from wit_world.exports.plugin import Decision

__all__ = ["Decision", "Err", "backends", "exports", "log", "plugin", "request"]
