"""Routes by the end of a header field, as HAProxy's `hdr_end(host) -i` does.

Rules without options become a question, which the proxy answers by itself, so one cached decision
serves every host with the same answer. A rule with an option has to read the field.
"""

import json
import re
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Tuple, Union

import pointsman
from pointsman import questions

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Matches one value of a list: the octets up to a comma outside of quotes (RFC 9110, section 5.6.1).
VALUE = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))*', re.DOTALL)
BLANKS = b" \t\r\n\f"


@dataclass
class Rule:
    """A rule as it is written in the configuration."""

    suffix: Union[str, List[str]]
    backend: str
    header: str = "host"
    ignore_port: bool = False
    label_boundary: bool = False


@dataclass
class Config:
    """The table `router.config` of the proxy's configuration."""

    rules: List[Rule]


class Group:
    """Consecutive rules with the same field and the same options."""

    def __init__(self, rule: Rule) -> None:
        self.header, self.options = looks_at(rule)
        # Suffixes in lower case, each with the decision of the first rule that has it.
        self.suffixes: Dict[str, pointsman.Decision] = {}

    def add(self, rule: Rule, key: str) -> None:
        """Adds a rule's suffixes after checking them."""
        if not TOKEN.fullmatch(rule.header):
            message = f"{json.dumps(rule.header)} is not the name of a header field"
            raise pointsman.ConfigError(f"{key}.header", message)
        texts = [rule.suffix] if isinstance(rule.suffix, str) else rule.suffix
        if not texts:
            raise pointsman.ConfigError(f"{key}.suffix", "an empty list matches no request")
        if "" in texts:
            place = "" if isinstance(rule.suffix, str) else f"[{texts.index('')}]"
            raise pointsman.ConfigError(
                f"{key}.suffix{place}",
                "an empty suffix matches every value; for requests that no other rule "
                "matches, set the frontend's `default_backend`",
            )
        decision = pointsman.backend(pointsman.backends.require(f"{key}.backend", rule.backend))
        for text in texts:
            # `bytes.lower` changes only ASCII letters.
            self.suffixes.setdefault(text.encode().lower().decode(), decision)

    def finish(self) -> "Asked | Read":
        """Returns the object that decides."""
        return Read(self) if any(self.options) else Asked(self)


class Asked:
    """A group without options."""

    def __init__(self, group: Group) -> None:
        # Host is not a list.
        over = "header:host" if group.header == "host" else f"values:{group.header}"
        self.field = questions.first_suffix(over, group.suffixes, ignore_case=True, key="rules")
        self.connection = None
        if group.header == "host":
            # A connection without HTTP has a host but no fields.
            self.connection = questions.first_suffix("host", group.suffixes, ignore_case=True)

    def decide(self, request: pointsman.Request) -> Optional[pointsman.Decision]:
        decision = request.ask(self.field)
        if decision is None and self.connection is not None and request.version is None:
            return request.ask(self.connection)
        return decision


class Read:
    """A group with options."""

    def __init__(self, group: Group) -> None:
        self.header = group.header
        self.ignore_port, self.boundary = group.options
        self.suffixes = {text.encode(): decision for text, decision in group.suffixes.items()}

    def decide(self, request: pointsman.Request) -> Optional[pointsman.Decision]:
        found = list(map(self.compared, self.values(request)))
        for suffix, decision in self.suffixes.items():
            for value in found:
                if value.endswith(suffix) and (not self.boundary or at_label(value, suffix)):
                    return decision
        return None

    def values(self, request: pointsman.Request) -> List[bytes]:
        """Returns the field's values; for Host, which is not a list, its lines."""
        lines = request.header_lines(self.header)
        if self.header != "host":
            return [value for line in lines for value in values(line)]
        return lines if request.version is not None else [request.host.encode()]

    def compared(self, value: bytes) -> bytes:
        """Returns the part of the value that is compared with suffixes."""
        value = value.strip(BLANKS)
        return (without_port(value) if self.ignore_port else value).lower()


def looks_at(rule: Rule) -> Tuple[str, Tuple[bool, bool]]:
    """Returns the field that a rule compares, and the rule's options."""
    return rule.header.lower(), (rule.ignore_port, rule.label_boundary)


def at_label(value: bytes, suffix: bytes) -> bool:
    """Reports whether the suffix starts at a label of the value, which must end with the suffix."""
    return suffix[:1] == b"." or len(value) == len(suffix) or value[-len(suffix) - 1] == ord(".")


def values(line: bytes) -> Iterator[bytes]:
    """Returns the values of a line that is a list, without surrounding blanks."""
    if b'"' not in line:
        for value in line.split(b","):
            yield value.strip(BLANKS)
        return
    at = 0
    while at <= len(line):
        match = VALUE.match(line, at)
        end = match.end() if match else len(line)
        yield line[at:end].strip(BLANKS)
        at = end + 1


def without_port(value: bytes) -> bytes:
    """Returns a host without its port: ``a`` for ``a:80``, ``[::1]`` for ``[::1]:80``.

    An address such as ``::1`` stays as it is, since it needs brackets before a port.
    """
    if value.startswith(b"["):
        end = value.find(b"]") + 1
        return value[:end] if end and value[end : end + 1] == b":" else value
    host, colon, rest = value.partition(b":")
    return host if colon and b":" not in rest else value


class HostSuffix:
    """The rules in their order: the first that matches wins."""

    cacheable = True

    def __init__(self, config: Config) -> None:
        groups: List[Group] = []
        for at, rule in enumerate(config.rules):
            if not groups or (groups[-1].header, groups[-1].options) != looks_at(rule):
                groups.append(Group(rule))
            groups[-1].add(rule, f"rules[{at}]")
        self.groups = [group.finish() for group in groups]

    def route(self, request: pointsman.Request) -> pointsman.Decision:
        for group in self.groups:
            decision = group.decide(request)
            if decision is not None:
                return decision
        return pointsman.next()


Plugin = pointsman.plugin(HostSuffix, Config)
