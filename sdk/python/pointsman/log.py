"""The plugin's own lines in the proxy's log, whose ``[log]`` says which of them are written."""

from pointsman import _contract

Level = _contract.log.Level


def write(level: Level, message: str) -> None:
    """Writes each line of the message."""
    _contract.log.write(level, text(message))


def text(message: str) -> str:
    """The message as it can cross: half of a surrogate pair cannot, and is shown as an escape."""
    return message.encode("utf-8", "backslashreplace").decode()


def trace(message: str) -> None:
    """For whoever follows the code step by step."""
    write(Level.TRACE, message)


def debug(message: str) -> None:
    """For whoever looks for a mistake."""
    write(Level.DEBUG, message)


def info(message: str) -> None:
    """Worth a line in daily use."""
    write(Level.INFO, message)


def warn(message: str) -> None:
    """Not right, and not yet harmful."""
    write(Level.WARN, message)


def error(message: str) -> None:
    """Wrong."""
    write(Level.ERROR, message)
