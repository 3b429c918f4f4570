"""Questions, answered by trying every entry."""

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from pointsman import _contract
from pointsman.testing import _parts
from pointsman.testing._backends import Backend

Pairs = List[Tuple[str, int]]
# Returns the rank of an entry for a value, or None if it does not match. The entry with the highest
# rank wins, or the first of several with the same rank.
Rank = Callable[[bytes], Optional[int]]


class Trap(AssertionError):
    """An error that would be a trap in the proxy."""


@dataclass
class Question:
    """A question that was defined, and the function that answers it."""

    is_value: bool
    answer: Callable[[Any], Any]


class Definitions:
    """The questions of one plugin. Its methods are the contract's functions."""

    def __init__(
        self,
        backends: Dict[str, Backend],
        tables: Mapping[str, Mapping[str, Union[str, bytes]]],
    ) -> None:
        self._backends = backends
        self._tables = tables
        self._questions: List[Question] = []

    def install(self) -> None:
        """Replaces the contract's functions."""
        for name in dir(self):
            if name.startswith("define_"):
                setattr(_contract.questions, name, getattr(self, name))

    def find(self, number: int, is_value: bool) -> Question:
        """Returns the question with this number.

        It is a trap if there is no such question, or if the question is of the other kind.
        """
        if number >= len(self._questions):
            raise Trap(f"question {number} was not defined")
        question = self._questions[number]
        if question.is_value != is_value:
            answer = "a value" if question.is_value else "a number"
            raise Trap(f"the answer to question {number} is {answer}")
        return question

    def define_exact(self, over: str, ignore_case: bool, entries: Pairs) -> int:
        return self._first_value(over, entries, _folded(ignore_case), lambda entry: entry.__eq__)

    def define_prefix(self, over: str, ignore_case: bool, entries: Pairs) -> int:
        return self._best(over, entries, _folded(ignore_case), _is_prefix)

    def define_path_prefix(self, over: str, ignore_case: bool, entries: Pairs) -> int:
        fold = _folded(ignore_case)
        return self._best(
            over, entries, fold, _is_path_prefix, lambda entry: fold(entry).removesuffix(b"/")
        )

    def define_suffix(self, over: str, ignore_case: bool, entries: Pairs) -> int:
        return self._best(over, entries, _folded(ignore_case), _is_suffix)

    def define_first_suffix(self, over: str, ignore_case: bool, entries: Pairs) -> int:
        return self._best(over, entries, _folded(ignore_case), _is_any_suffix)

    def define_domain(self, over: str, entries: Pairs) -> int:
        return self._best(over, entries, bytes.lower, _is_domain)

    def define_network(self, over: str, entries: Pairs) -> int:
        return self._best(over, entries, bytes, _network)

    def define_regex(self, over: str, entries: Pairs) -> int:
        return self._best(over, entries, bytes, _regex)

    def define_share(self, over: str, salt: str, per_million: int) -> int:
        read = (lambda head: [b"1"]) if over == "random" else _reader(over)

        def answer(head: Any) -> Optional[int]:
            if not any(read(head)[:1]) or per_million == 0:
                return None
            return 1 if per_million == 1_000_000 or salt in head.shares else None

        return self._define(False, answer)

    def define_look_up(self, table: str, over: str) -> int:
        read = _reader(over)
        if table not in self._tables:
            raise _contract.Err(f"there is no table {json.dumps(table)} in the configuration")
        rows = self._tables[table]

        def answer(head: Any) -> Optional[bytes]:
            found = [row for key, row in rows.items() if key.encode() in read(head)[:1]]
            return _contract.octets(found[0]) if found else None

        return self._define(True, answer)

    def define_value(self, over: str) -> int:
        read = _reader(over)
        return self._define(True, lambda head: next(iter(read(head)), None))

    def define_usable(self, backend: str) -> int:
        if backend not in self._backends:
            raise _contract.Err(f"there is no backend {json.dumps(backend)} in the configuration")
        servers = self._backends[backend].servers
        return self._define(False, lambda head: 1 if any(one.usable for one in servers) else None)

    def _define(self, is_value: bool, answer: Callable[[Any], Any]) -> int:
        self._questions.append(Question(is_value, answer))
        return len(self._questions) - 1

    def _first_value(self, over: str, entries: Pairs, fold: Any, match: Any) -> int:
        """If there are several values, the first that matches wins."""
        read = _reader(over)
        ranked = _ranked(entries, fold, match)

        def answer(head: Any) -> Optional[int]:
            for value in map(fold, read(head)):
                for matches, number in ranked:
                    if matches(value):
                        return number
            return None

        return self._define(False, answer)

    def _best(self, over: str, entries: Pairs, fold: Any, match: Any, normal: Any = None) -> int:
        """If there are several values, the best match wins."""
        read = _reader(over)
        ranked = _ranked(entries, normal or fold, match)

        def answer(head: Any) -> Optional[int]:
            best, answer = -1, None
            values = [fold(value) for value in read(head)]
            for rank, number in ranked:
                for value in values:
                    found = rank(value)
                    if found is not None and found > best:
                        best, answer = found, number
            return answer

        return self._define(False, answer)


def _reader(over: str) -> _parts.Reader:
    read = _parts.parse(over)
    if read is None:
        raise _contract.Err(f"{json.dumps(over)} is not a part of a request")
    return read


def _ranked(entries: Pairs, normal: Any, match: Callable[[Any], Rank]) -> List[Tuple[Rank, int]]:
    """Returns the comparison of each entry. Equal entries, and invalid ones, are errors."""
    known: Dict[Any, int] = {}
    ranked = []
    for at, (entry, number) in enumerate(entries, 1):
        octets = normal(entry.encode())
        if octets in known:
            raise _contract.Err(f"entry {at} repeats entry {known[octets]}, {json.dumps(entry)}")
        known[octets] = at
        try:
            ranked.append((match(octets), number))
        except ValueError as error:
            raise _contract.Err(f"entry {at}, {json.dumps(entry)}, is not {error}") from None
    return ranked


def _folded(ignore_case: bool) -> Callable[[bytes], bytes]:
    return bytes.lower if ignore_case else bytes


def _is_prefix(entry: bytes) -> Rank:
    return lambda value: len(entry) if value.startswith(entry) else None


def _is_path_prefix(entry: bytes) -> Rank:
    return lambda value: (
        len(entry) if value.startswith(entry) and value[len(entry) :][:1] in (b"", b"/") else None
    )


def _is_suffix(entry: bytes) -> Rank:
    return lambda value: len(entry) if value.endswith(entry) else None


def _is_any_suffix(entry: bytes) -> Rank:
    return lambda value: 0 if value.endswith(entry) else None


def _is_domain(entry: bytes) -> Rank:
    return lambda value: (len(entry) if value == entry or value.endswith(b"." + entry) else None)


def _network(entry: bytes) -> Rank:
    try:
        network = ipaddress.ip_network(entry.decode())
    except ValueError:
        raise ValueError("a network (CIDR), as in 192.0.2.0/24") from None

    def rank(value: bytes) -> Optional[int]:
        try:
            address = ipaddress.ip_address(value.decode())
        except ValueError:
            return None
        return network.prefixlen if address in network else None

    return rank


def _regex(entry: bytes) -> Rank:
    try:
        pattern = re.compile(entry)
    except re.error as error:
        raise ValueError(f"a regular expression: {error}") from None
    return lambda value: 0 if pattern.search(value) else None
