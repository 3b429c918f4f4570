"""Routes by the end of a header field, as HAProxy's `hdr_end(host) -i` does."""

import json
import re
from dataclasses import dataclass
from itertools import groupby
from typing import Iterator, List, Optional, Tuple, Union

import pointsman

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# A value of a list: up to a comma outside of quotes (RFC 9110, section 5.6.1).
VALUE = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))*', re.DOTALL)
BLANKS = b" \t\r\n\f"


@dataclass
class Rule:
    """A rule as it is written."""

    suffix: Union[str, List[str]]
    backend: str
    header: str = "host"
    ignore_port: bool = False
    label_boundary: bool = False


@dataclass
class Config:
    """The table `router.config` of the proxy's configuration."""

    rules: List[Rule]


class Matcher:
    """A rule, checked, with all that can be prepared."""

    __slots__ = ("boundary", "decision", "header", "ignore_port", "suffixes")

    def __init__(self, rule: Rule, key: str) -> None:
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
                "an empty suffix matches every value; for the requests that no other rule "
                "matches there is the frontend's `default_backend`",
            )
        if not pointsman.backends.exists(rule.backend):
            message = f"there is no backend {json.dumps(rule.backend)}"
            raise pointsman.ConfigError(f"{key}.backend", message)
        self.header = rule.header.lower()
        # `lower` of bytes changes ASCII letters alone.
        self.suffixes = tuple(text.encode().lower() for text in texts)
        self.ignore_port = rule.ignore_port
        self.boundary = rule.label_boundary
        self.decision = pointsman.backend(rule.backend)

    def matches(self, value: bytes) -> bool:
        """Whether a value, in lower case and without blanks around it, ends as the rule asks."""
        if self.ignore_port:
            value = pointsman.without_port(value)
        if not value.endswith(self.suffixes):
            return False
        return not self.boundary or any(map(lambda suffix: at_label(value, suffix), self.suffixes))


def at_label(value: bytes, suffix: bytes) -> bool:
    """Whether the value ends with the suffix, from the start of a label on."""
    if not value.endswith(suffix):
        return False
    return suffix[:1] == b"." or len(value) == len(suffix) or value[-len(suffix) - 1] == ord(".")


def values(line: bytes) -> Iterator[bytes]:
    """The values of a line that is a list, without the blanks around them."""
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


class HostSuffix:
    """Rules in their order: the first that matches wins."""

    cacheable = True

    def __init__(self, config: Config) -> None:
        matchers = [Matcher(rule, f"rules[{at}]") for at, rule in enumerate(config.rules)]
        # Rules that follow each other and look at the same field read it once.
        self.groups: List[Tuple[str, List[Matcher]]] = [
            (header, list(group)) for header, group in groupby(matchers, lambda rule: rule.header)
        ]

    def route(self, request: pointsman.Request) -> pointsman.Decision:
        for header, matchers in self.groups:
            lines = request.header_lines(header)
            if header == "host" and len(lines) == 1:
                # No list: a comma in it is refused before routing, as is a second line.
                found = first(matchers, (lines[0].lower().strip(BLANKS),))
            else:
                found = first(matchers, [v for line in lines for v in values(line.lower())])
            if found is not None:
                return found.decision
        return pointsman.default_backend()


def first(matchers: List[Matcher], values) -> Optional[Matcher]:
    """The first rule that one of the values matches."""
    for matcher in matchers:
        for value in values:
            if matcher.matches(value):
                return matcher
    return None


Plugin = pointsman.plugin(HostSuffix, Config)
