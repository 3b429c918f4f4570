"""The plugin's lines in the proxy's log. The table ``[log]`` of the proxy's configuration filters
them.
"""

from pointsman import _contract

Level = _contract.log.Level


def write(level: Level, message: str) -> None:
    """Writes each line of the message."""
    _contract.log.write(level, text(message))


def text(message: str) -> str:
    """Returns the message in a form that can cross into the proxy: unpaired surrogates are shown as
    escapes.
    """
    return message.encode("utf-8", "backslashreplace").decode()


def trace(message: str) -> None:
    """Single steps of the code."""
    write(Level.TRACE, message)


def debug(message: str) -> None:
    """Details that help to find a mistake."""
    write(Level.DEBUG, message)


def info(message: str) -> None:
    """Worth a line in normal operation."""
    write(Level.INFO, message)


def warn(message: str) -> None:
    """Unexpected, but handled."""
    write(Level.WARN, message)


def error(message: str) -> None:
    """A failure."""
    write(Level.ERROR, message)
