"""Questions about a request that the proxy answers by itself.

Define them in the router's constructor, and ask them in ``route``::

    self.backends = questions.suffix("host", {"io.test.tld": "node", ".cdn.test": "cdn"})
    name = request.ask(self.backends)  # "node", "cdn" or None

The proxy keeps decisions under the answers: one decision serves every request with the same
answers, however many hosts, paths or sessions there are.

``over`` names the part of the request that a question is about: ``method``, ``scheme``,
``authority``, ``host``, ``path``, ``path-with-query``, ``query:NAME``, ``header:NAME`` (each line),
``values:NAME`` (each member of a comma-separated list), ``cookie:NAME``, ``client-address``,
``server-name`` or ``body-json:POINTER`` (RFC 6901).

``entries`` is a mapping, or pairs in order, from text to a value of any kind. Entries with equal
values share one cached decision. No two entries may be equal.

A definition that the proxy refuses raises ``ConfigError``; ``key`` is the path of the
configuration's key that the error is shown at, as in ``rules[0].suffix``. If one entry is at fault,
the error's ``entry`` tells which; ``raise error.at_key(f"rules[{error.entry}].suffix")`` shows it at
a key of its own.
"""

from typing import Any, Callable, Dict, Generic, Iterable, List, Mapping, Optional, Tuple, TypeVar
from typing import Union

from pointsman import _contract
from pointsman._config import ConfigError

A = TypeVar("A", covariant=True)
T = TypeVar("T")
Entries = Union[Mapping[str, T], Iterable[Tuple[str, T]]]

MILLION = 1_000_000

# Set while a router is made. A definition at any other time would trap.
_defining = False


class Question(Generic[A]):
    """A question that was defined; ``request.ask`` answers it. Only this module makes one."""

    def __init__(self, number: int) -> None:
        self.number = number
        """Its number in the contract."""

    def _ask(self, head: "_contract.request.RequestHead") -> A:
        raise NotImplementedError


class Matcher(Question[Optional[T]]):
    """Answered with the value of the entry that matches; None if none does."""

    def __init__(self, number: int, values: List[Optional[T]]) -> None:
        super().__init__(number)
        self._values = values

    def _ask(self, head: "_contract.request.RequestHead") -> Optional[T]:
        return self._values[head.ask(self.number) or 0]


class _Fact(Question[bool]):
    def _ask(self, head: "_contract.request.RequestHead") -> bool:
        return head.ask(self.number) is not None


class Share(_Fact):
    """Answered with whether the request is in the share."""


class Usable(_Fact):
    """Answered with whether the backend has a usable server."""


class ValueQuestion(Question[Optional[bytes]]):
    """Answered with octets; None if there are none. ``set_header_by``, ``set_affinity_by`` and
    ``tag_by`` use the answer without making it a part of the decision's key."""

    def _ask(self, head: "_contract.request.RequestHead") -> Optional[bytes]:
        return head.ask_value(self.number)


class LookUp(ValueQuestion):
    """Answered with a value of an operator's table."""


class Value(ValueQuestion):
    """Answered with a part of the request."""


def exact(
    over: str, entries: Entries[T], *, ignore_case: bool = False, key: str = ""
) -> Matcher[T]:
    """Which entry equals the part; of several lines or members, the first that equals one."""
    return _cased(_contract.questions.define_exact, over, entries, ignore_case, key)


def prefix(
    over: str, entries: Entries[T], *, ignore_case: bool = False, key: str = ""
) -> Matcher[T]:
    """The longest entry that the part begins with."""
    return _cased(_contract.questions.define_prefix, over, entries, ignore_case, key)


def path_prefix(
    over: str, entries: Entries[T], *, ignore_case: bool = False, key: str = ""
) -> Matcher[T]:
    """The longest entry that the part begins with, ending at a ``/`` or at the part's end.

    A ``/`` at an entry's end is ignored.
    """
    return _cased(_contract.questions.define_path_prefix, over, entries, ignore_case, key)


def suffix(
    over: str, entries: Entries[T], *, ignore_case: bool = False, key: str = ""
) -> Matcher[T]:
    """The longest entry that the part ends with."""
    return _cased(_contract.questions.define_suffix, over, entries, ignore_case, key)


def first_suffix(
    over: str, entries: Entries[T], *, ignore_case: bool = False, key: str = ""
) -> Matcher[T]:
    """The first entry, in the order given, that the part ends with."""
    return _cased(_contract.questions.define_first_suffix, over, entries, ignore_case, key)


def domain(over: str, entries: Entries[T], *, key: str = "") -> Matcher[T]:
    """The longest entry that the part, a host name, equals or is a subdomain of."""
    return _uncased(_contract.questions.define_domain, over, entries, key)


def network(over: str, entries: Entries[T], *, key: str = "") -> Matcher[T]:
    """The smallest network, as in ``10.0.0.0/8``, that contains the part, an address."""
    return _uncased(_contract.questions.define_network, over, entries, key)


def regex(over: str, entries: Entries[T], *, key: str = "") -> Matcher[T]:
    """The first regular expression, in the order given, that matches: on octets, anywhere.

    They are in the syntax of Rust's crate ``regex``, and matched in linear time.
    """
    return _uncased(_contract.questions.define_regex, over, entries, key)


def share(over: str, *, salt: str, per_million: int, key: str = "") -> Share:
    """Whether the request is in a share of ``per_million`` out of 1,000,000.

    Equal parts with equal salts are always in the same share, and a larger share contains a
    smaller one. A part that is absent or empty is in no share. ``over`` may also be ``random``.
    """
    _contract.number(per_million, "per_million", most=MILLION)
    define = _contract.questions.define_share
    return Share(_define(key, define, _contract.text(over), _contract.text(salt), per_million))


def look_up(table: str, over: str, *, key: str = "") -> LookUp:
    """The value in the operator's table under the part."""
    define = _contract.questions.define_look_up
    return LookUp(_define(key, define, _contract.text(table), _contract.text(over)))


def value(over: str, *, key: str = "") -> Value:
    """The part itself."""
    return Value(_define(key, _contract.questions.define_value, _contract.text(over)))


def usable(backend: str, *, key: str = "") -> Usable:
    """Whether the backend has a usable server."""
    return Usable(_define(key, _contract.questions.define_usable, _contract.text(backend)))


def _cased(
    define: Callable[..., int], over: str, entries: Entries[T], ignore_case: bool, key: str
) -> Matcher[T]:
    pairs, values = _numbered(entries)
    return Matcher(_define(key, define, _contract.text(over), bool(ignore_case), pairs), values)


def _uncased(define: Callable[..., int], over: str, entries: Entries[T], key: str) -> Matcher[T]:
    pairs, values = _numbered(entries)
    return Matcher(_define(key, define, _contract.text(over), pairs), values)


def _numbered(entries: Entries[T]) -> Tuple[List[Tuple[str, int]], List[Optional[T]]]:
    """Entries with their values' numbers, from 1 on, and the values by number."""
    pairs: List[Tuple[str, int]] = []
    values: List[Optional[T]] = [None]
    # A value that cannot be hashed, such as a decision, is compared with those that are shown alike.
    numbers: Dict[Any, List[int]] = {}
    for entry, item in entries.items() if isinstance(entries, Mapping) else entries:
        try:
            alike = numbers.setdefault((item.__class__, item), [])
        except TypeError:
            alike = numbers.setdefault((item.__class__, repr(item)), [])
        number = next((known for known in alike if values[known] == item), 0)
        if not number:
            number = len(values)
            values.append(item)
            alike.append(number)
        pairs.append((_contract.text(entry), number))
    return pairs, values


def _define(key: str, define: Callable[..., int], *arguments: Any) -> int:
    if not _defining:
        raise RuntimeError("questions are defined in the router's constructor")
    try:
        return define(*arguments)
    except _contract.Err as error:
        raise ConfigError(key, error.value) from None


__all__ = [
    "LookUp",
    "Matcher",
    "Question",
    "Share",
    "Usable",
    "Value",
    "ValueQuestion",
    "domain",
    "exact",
    "first_suffix",
    "look_up",
    "network",
    "path_prefix",
    "prefix",
    "regex",
    "share",
    "suffix",
    "usable",
    "value",
]
