"""Questions about a request that the proxy answers by itself.

Define them in the router's constructor, and ask them in ``route``::

    self.backends = questions.suffix("host", {"io.test.tld": "node", ".cdn.test": "cdn"})
    name = request.ask(self.backends)  # "node", "cdn" or None

The proxy uses the answers as the key of its decision cache, so one cached decision serves every
request with the same answers, however many hosts, paths or sessions there are.

``over`` names the part of the request that a question is about: ``method``, ``scheme``,
``authority``, ``host``, ``path``, ``path-with-query``, ``query:NAME``, ``header:NAME`` (each line),
``values:NAME`` (each member of a comma-separated list), ``cookie:NAME``, ``client-address``,
``server-name`` or ``body-json:POINTER`` (RFC 6901).

``entries`` is a mapping, or pairs in order, from text to a value of any kind. Entries with equal
values share one cached decision. No two entries can be equal.

A definition that the proxy refuses raises ``ConfigError``. ``key`` is the path of the
configuration's key that the error is shown at, as in ``rules[0].suffix``. If one entry is at fault,
the error's ``entry`` is its index: ``raise error.at_key(f"rules[{error.entry}].suffix")`` shows the
error at the entry's own key.
"""

from typing import Any, Callable, Dict, Generic, Iterable, List, Mapping, Optional, Tuple, TypeVar
from typing import Union

from pointsman import _contract
from pointsman._config import ConfigError

A = TypeVar("A", covariant=True)
T = TypeVar("T")
Entries = Union[Mapping[str, T], Iterable[Tuple[str, T]]]

MILLION = 1_000_000

# Set while a router is being constructed. A definition at any other time would trap.
_defining = False


class Question(Generic[A]):
    """A question that was defined; ``request.ask`` returns its answer. Only this module makes
    questions.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        """The question's number in the contract."""

    def _ask(self, head: "_contract.request.RequestHead") -> A:
        raise NotImplementedError


class Matcher(Question[Optional[T]]):
    """A question whose answer is the value of the entry that matches; None if none does."""

    def __init__(self, number: int, values: List[Optional[T]]) -> None:
        super().__init__(number)
        self._values = values

    def _ask(self, head: "_contract.request.RequestHead") -> Optional[T]:
        return self._values[head.ask(self.number) or 0]


class _Fact(Question[bool]):
    def _ask(self, head: "_contract.request.RequestHead") -> bool:
        return head.ask(self.number) is not None


class Share(_Fact):
    """The question of whether the request is in a share."""


class Usable(_Fact):
    """The question of whether a backend has a usable server."""


class ValueQuestion(Question[Optional[bytes]]):
    """A question whose answer is octets; None if there are none.

    ``set_header_by``, ``set_affinity_by`` and ``tag_by`` use the answer without making it part of
    the key under which the decision is cached.
    """

    def _ask(self, head: "_contract.request.RequestHead") -> Optional[bytes]:
        return head.ask_value(self.number)


class LookUp(ValueQuestion):
    """The question for a value from an operator's table."""


class Value(ValueQuestion):
    """The question for the value of a part of the request."""


def exact(
    over: str, entries: Entries[T], *, ignore_case: bool = False, key: str = ""
) -> Matcher[T]:
    """Defines a matcher for the entry that equals the whole part.

    If the part has several lines or members, the first that equals an entry wins.
    """
    return _cased(_contract.questions.define_exact, over, entries, ignore_case, key)


def prefix(
    over: str, entries: Entries[T], *, ignore_case: bool = False, key: str = ""
) -> Matcher[T]:
    """Defines a matcher for the longest entry that is a prefix of the part."""
    return _cased(_contract.questions.define_prefix, over, entries, ignore_case, key)


def path_prefix(
    over: str, entries: Entries[T], *, ignore_case: bool = False, key: str = ""
) -> Matcher[T]:
    """Defines a matcher for the longest entry that is a prefix of the part in whole segments:
    ``/api`` matches ``/api`` and ``/api/x``, but not ``/apiary``.

    A ``/`` at the end of an entry is ignored.
    """
    return _cased(_contract.questions.define_path_prefix, over, entries, ignore_case, key)


def suffix(
    over: str, entries: Entries[T], *, ignore_case: bool = False, key: str = ""
) -> Matcher[T]:
    """Defines a matcher for the longest entry that is a suffix of the part."""
    return _cased(_contract.questions.define_suffix, over, entries, ignore_case, key)


def first_suffix(
    over: str, entries: Entries[T], *, ignore_case: bool = False, key: str = ""
) -> Matcher[T]:
    """Defines a matcher for the first entry, in the order given, that is a suffix of the part."""
    return _cased(_contract.questions.define_first_suffix, over, entries, ignore_case, key)


def domain(over: str, entries: Entries[T], *, key: str = "") -> Matcher[T]:
    """Defines a matcher for the longest entry that the part, a host name, equals or is a subdomain
    of.
    """
    return _uncased(_contract.questions.define_domain, over, entries, key)


def network(over: str, entries: Entries[T], *, key: str = "") -> Matcher[T]:
    """Defines a matcher for the smallest network (CIDR) that contains the part, an address."""
    return _uncased(_contract.questions.define_network, over, entries, key)


def regex(over: str, entries: Entries[T], *, key: str = "") -> Matcher[T]:
    """Defines a matcher for the first regular expression, in the order given, that matches anywhere
    in the part.

    Expressions match bytes and have the syntax of Rust's crate ``regex``. Matching takes linear
    time.
    """
    return _uncased(_contract.questions.define_regex, over, entries, key)


def share(over: str, *, salt: str, per_million: int, key: str = "") -> Share:
    """Defines the question of whether the request is in a share of ``per_million`` requests out of
    1,000,000.

    The answer depends only on the part and the salt. A request in a share is also in every larger
    share with the same salt. A request in which the part is absent or empty is in no share.
    ``over`` can also be ``random``: a number drawn once per request, so shares with the same salt
    and size give the same answer.
    """
    _contract.number(per_million, "per_million", most=MILLION)
    define = _contract.questions.define_share
    return Share(_define(key, define, _contract.text(over), _contract.text(salt), per_million))


def look_up(table: str, over: str, *, key: str = "") -> LookUp:
    """Defines a lookup of the part in the operator's table ``table``.

    The answer is the table's value for the part.
    """
    define = _contract.questions.define_look_up
    return LookUp(_define(key, define, _contract.text(table), _contract.text(over)))


def value(over: str, *, key: str = "") -> Value:
    """Defines a question whose answer is the part itself.

    If only ``set_header_by``, ``set_affinity_by`` or ``tag_by`` use the answer, it is not part of
    the key under which the decision is cached.
    """
    return Value(_define(key, _contract.questions.define_value, _contract.text(over)))


def usable(backend: str, *, key: str = "") -> Usable:
    """Defines the question of whether a backend has a usable server.

    The question is answered again at each attempt.
    """
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
    """Returns the entries with the numbers of their values, from 1, and the values by number."""
    pairs: List[Tuple[str, int]] = []
    values: List[Optional[T]] = [None]
    # A value that cannot be hashed, such as a decision, is compared with the values that have the
    # same representation.
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
