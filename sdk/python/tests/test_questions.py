"""Tests of questions, as plugins define and ask them."""

import pathlib
import sys
import unittest
from typing import Any, Callable, Optional

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import pointsman
from pointsman import questions, testing


def configured(define: Callable[[], Any], **named: Any) -> testing.Configured:
    """Makes a plugin with one question, which reports its answer in a tag."""

    class Asks:
        cacheable = True

        def __init__(self) -> None:
            self.question = define()

        def route(self, request: pointsman.Request) -> pointsman.Decision:
            request.tag("answer", repr(request.ask(self.question)))
            return pointsman.next()

    return testing.configure(pointsman.plugin(Asks), **named)


def answer(plugin: testing.Configured, *arguments: Any, **named: Any) -> Any:
    request = testing.request(*arguments, **named)
    plugin.route(request)
    return eval(request.tags["answer"])


class Parts(unittest.TestCase):
    def test_each_is_read(self) -> None:
        headers = [
            ("host", "A.Test:80"),
            ("x-a", "1, 2"),
            ("X-A", '"3,4"'),
            ("cookie", "s=t"),
        ]
        named = {"headers": headers, "server_name": "sni.test", "client_address": "10.0.0.1"}
        for over, expected in [
            ("method", b"GET"),
            ("scheme", b"https"),
            ("authority", b"A.Test:80"),
            ("host", b"a.test"),
            ("path", b"/p"),
            ("path-with-query", b"/p?q=r+s"),
            ("query:q", b"r s"),
            ("query:z", None),
            ("header:X-a", b"1, 2"),
            ("header:z", None),
            ("values:x-a", b"1"),
            ("cookie:s", b"t"),
            ("client-address", b"10.0.0.1"),
            ("server-name", b"sni.test"),
        ]:
            plugin = configured(lambda: questions.value(over))
            self.assertEqual(answer(plugin, "/p?q=r+s", **named), expected, over)

    def test_every_line_and_member_counts(self) -> None:
        headers = [("x-a", "b, c"), ("x-a", '"d,e" ,f')]
        for over, entry, matches in [
            ("header:x-a", "b, c", True),
            ("header:x-a", '"d,e" ,f', True),
            ("header:x-a", "b", False),
            ("values:x-a", "c", True),
            ("values:x-a", '"d,e"', True),
            ("values:x-a", "f", True),
            ("values:x-a", "e", False),
        ]:
            plugin = configured(lambda: questions.exact(over, {entry: True}))
            self.assertEqual(answer(plugin, headers=headers), matches or None, (over, entry))

    def test_a_member_of_a_body_is_read(self) -> None:
        for pointer, body, expected in [
            ("/model", '{"model": "a\\u00e4"}', "aä".encode()),
            ("/n", '{"n": 1.50e2}', b"1.50e2"),
            ("/b", '{"b": true}', b"true"),
            ("/b", '{"b": null}', None),
            ("/b", '{"b": {}}', None),
            ("/a/1/b~1c~0", '{"a": [0, {"b/c~": "x"}]}', b"x"),
            ("/a/01", '{"a": [0, 1]}', None),
            ("/a/2", '{"a": [0, 1]}', None),
            ("", '"x"', b"x"),
            ("/a", '{"a": 1, "a": 2}', None),
            ("/a", '{"a": 1, "b": 1, "b": 2}', b"1"),
            ("/a", '{"a": NaN}', None),
            ("/a", '{"a": 1', None),
            ("/a", "[" * 100_000, None),
            ("/a", b"\xff", None),
        ]:
            plugin = configured(lambda: questions.value(f"body-json:{pointer}"))
            self.assertEqual(answer(plugin, body=body), expected, (pointer, body))
        plugin = configured(lambda: questions.value("body-json:/a"))
        coded = [("content-encoding", "gzip")]
        self.assertIsNone(answer(plugin, body='{"a": 1}', headers=coded))
        self.assertIsNone(answer(plugin, body='{"a": 1}', body_is_complete=False))
        self.assertIsNone(answer(plugin))


class Matchers(unittest.TestCase):
    def check(self, define: Callable[..., Any], over: str, read: str, cases: Any) -> None:
        for entries, *expectations in cases:
            plugin = configured(lambda: define(over, {entry: entry for entry in entries}))
            for value, expected in expectations:
                request = {"headers": [(read, value)]} if read else {"target": value}
                if read == "client":
                    request = {"client_address": value}
                self.assertEqual(answer(plugin, **request), expected, (entries, value))

    def test_exact(self) -> None:
        self.check(
            questions.exact, "header:a", "a", [(["b", "c"], ("b", "b"), ("B", None), ("bc", None))]
        )

    def test_the_first_line_that_equals_an_entry_wins(self) -> None:
        plugin = configured(lambda: questions.exact("values:a", {"bb": 1, "a": 2}))
        for lines, expected in [(["c, a", "bb"], 2), (["bb", "a"], 1), (["c", "d"], None)]:
            headers = [("a", line) for line in lines]
            self.assertEqual(answer(plugin, headers=headers), expected, lines)

    def test_prefix(self) -> None:
        cases = [(["/a", "/a/b"], ("/a/bc", "/a/b"), ("/ab", "/a"), ("/", None))]
        self.check(questions.prefix, "path", "", cases)

    def test_path_prefix(self) -> None:
        cases = [
            (["/a/", "/a/b"], ("/a", "/a/"), ("/a/", "/a/"), ("/ab", None), ("/a/b/c", "/a/b")),
            (["/"], ("/", "/"), ("/a", "/"), ("*", None)),
        ]
        self.check(questions.path_prefix, "path", "", cases)

    def test_suffix(self) -> None:
        cases = [([".test", ".a.test"], ("b.a.test", ".a.test"), ("b.test", ".test"), ("t", None))]
        self.check(questions.suffix, "host", "host", cases)
        self.check(
            questions.first_suffix, "host", "host", [([".test", ".a.test"], ("b.a.test", ".test"))]
        )

    def test_domain(self) -> None:
        cases = [
            (
                ["test", "A.test"],
                ("a.test:1", "A.test"),
                ("b.a.TEST", "A.test"),
                ("ba.test", "test"),
                ("atest", None),
            )
        ]
        self.check(questions.domain, "host", "host", cases)

    def test_network(self) -> None:
        cases = [
            (
                ["10.0.0.0/8", "10.1.0.0/16", "::/0"],
                ("10.1.2.3", "10.1.0.0/16"),
                ("10.2.0.0", "10.0.0.0/8"),
                ("::1", "::/0"),
                ("11.0.0.0", None),
                ("", None),
            ),
        ]
        self.check(questions.network, "client-address", "client", cases)

    def test_regex(self) -> None:
        cases = [(["^/[0-9]+$", "/1"], ("/12", "^/[0-9]+$"), ("/a/12", "/1"), ("/a", None))]
        self.check(questions.regex, "path", "", cases)

    def test_case_is_ignored_on_demand(self) -> None:
        define = lambda: questions.suffix("header:a", [("Ä.TEST", 1)], ignore_case=True)
        plugin = configured(define)
        for value, expected in [("Ä.test", 1), ("ä.test", None)]:
            self.assertEqual(answer(plugin, headers=[("a", value)]), expected, value)

    def test_equal_values_have_one_number(self) -> None:
        backend = pointsman.backend
        pairs, values = questions._numbered(
            [
                ("a", 1),
                ("b", True),
                ("c", 1),
                ("d", backend("x")),
                ("e", backend("y")),
                ("f", backend("x")),
                ("g", None),
            ]
        )
        numbers = [number for _, number in pairs]
        self.assertEqual(numbers, [1, 2, 1, 3, 4, 3, 5])
        self.assertEqual(values, [None, 1, True, backend("x"), backend("y"), None])


class Others(unittest.TestCase):
    def test_a_share_is_what_the_test_says(self) -> None:
        define = lambda: questions.share("cookie:s", salt="canary", per_million=50_000)
        plugin = configured(define, shares=["canary"])
        client = [("cookie", "s=1")]
        for named, expected in [
            ({"headers": client}, True),
            ({"headers": client, "shares": []}, False),
            ({"headers": client, "shares": ["canary"]}, True),
            ({}, False),
            ({"headers": [("cookie", "s=")]}, False),
        ]:
            self.assertIs(answer(plugin, **named), expected, named)
        self.assertIs(answer(configured(define), headers=client), False)
        for over, per_million, expected in [("random", 1_000_000, True), ("random", 0, False)]:
            plugin = configured(
                lambda: questions.share(over, salt="a", per_million=per_million), shares="a"
            )
            self.assertIs(answer(plugin), expected)

    def test_a_table_is_what_the_test_says(self) -> None:
        tables = {"tenants": {"acme": "node", "ä": b"\xff"}}
        plugin = configured(lambda: questions.look_up("tenants", "header:x-tenant"), tables=tables)
        for tenant, expected in [("acme", b"node"), ("ä", b"\xff"), ("Acme", None), ("", None)]:
            self.assertEqual(answer(plugin, headers=[("x-tenant", tenant)]), expected, tenant)

    def test_a_value_can_be_asked_for_as_text(self) -> None:
        class Asks:
            def __init__(self) -> None:
                self.value, self.usable = questions.value("header:a"), questions.usable("a")

            def route(self, request: pointsman.Request) -> pointsman.Decision:
                try:
                    request.ask_str(self.usable)
                except TypeError:
                    request.tag("text", repr(request.ask_str(self.value)))
                return pointsman.next()

        plugin = testing.configure(pointsman.plugin(Asks), backends=["a"])
        for value, expected in [("ä", "'ä'"), (b"\xff", "None"), (None, "None")]:
            request = testing.request(headers=[] if value is None else [("a", value)])
            plugin.route(request)
            self.assertEqual(request.tags["text"], expected)

    def test_usable_follows_the_servers(self) -> None:
        plugin = configured(lambda: questions.usable("a"), backends={"a": ["s1", "s2"]})
        self.assertIs(answer(plugin), True)
        plugin.backends["a"].servers[0].usable = False
        self.assertIs(answer(plugin), True)
        plugin.set_usable("a", False)
        self.assertIs(answer(plugin), False)

    def test_answers_are_used_without_being_read(self) -> None:
        class Uses:
            def __init__(self) -> None:
                self.session = questions.value("cookie:s")
                self.parameter = questions.value("query:q")

            def route(self, request: pointsman.Request) -> pointsman.Decision:
                request.set_header_by("x-parameter", self.parameter)
                request.set_affinity("a")
                request.set_affinity_by(self.session)
                request.set_header_by("x-session", self.session)
                request.tag_by("session", self.session)
                return pointsman.next()

        plugin = testing.configure(pointsman.plugin(Uses))
        for target, headers, edits, options, tags in [
            (
                "/?q=a%09b",
                [("cookie", b"s=\xff")],
                [("set", "x-parameter", b"a\tb"), ("set", "x-session", b"\xff")],
                {"affinity": b"\xff"},
                {"session": "\ufffd"},
            ),
            # An answer that HTTP does not allow in a field counts as no answer.
            ("/?q=a%0Ab", [], [("remove", "x-parameter"), ("remove", "x-session")], {}, {}),
        ]:
            request = testing.request(target, headers=headers)
            plugin.route(request)
            self.assertEqual((request.edits, request.options, request.tags), (edits, options, tags))


class Mistakes(unittest.TestCase):
    def refused(self, define: Callable[[], Any]) -> Optional[str]:
        try:
            configured(define, backends=["a"])
        except testing.Refused as refused:
            return str(refused)
        return None

    def test_a_definition_that_makes_no_sense_is_shown_at_its_key(self) -> None:
        for define, expected in [
            (lambda: questions.exact("hots", {}, key="rules"), 'rules: "hots" is not a part'),
            (lambda: questions.value("header:", key="a"), 'a: "header:" is not a part'),
            (lambda: questions.value("body-json:model"), '"body-json:model" is not a part'),
            (
                lambda: questions.network("host", {"a": 1}, key="a"),
                'a: entry 1, "a", is not a network (CIDR)',
            ),
            (
                lambda: questions.regex("host", {"(": 1}, key="a"),
                'a: entry 1, "(", is not a regular',
            ),
            (lambda: questions.exact("host", [("a", 1), ("a", 2)]), 'entry 2 repeats entry 1, "a"'),
            (lambda: questions.path_prefix("path", {"/a": 1, "/a/": 2}), "entry 2 repeats entry 1"),
            (lambda: questions.prefix("path", {"a": 1, "A": 2}, ignore_case=True), "entry 2 rep"),
            (lambda: questions.look_up("a", "host", key="table"), 'table: there is no table "a"'),
            (lambda: questions.usable("b", key="backend"), 'backend: there is no backend "b"'),
            (lambda: questions.share("host", salt="a", per_million=1_000_001), "ValueError: per_m"),
            (lambda: questions.share("random:", salt="a", per_million=1), '"random:" is no'),
            (lambda: questions.value(5), "TypeError: not a text"),
            (lambda: questions.exact("host", {5: 1}), "TypeError: not a text"),
        ]:
            refusal = self.refused(define)
            self.assertTrue(refusal and refusal.startswith(expected), (refusal, expected))

    def test_the_entry_that_is_at_fault_has_a_key(self) -> None:
        def define(entries: Any, over: str = "host") -> Any:
            try:
                return questions.network(over, entries, key="nets")
            except pointsman.ConfigError as error:
                if error.entry is None:
                    raise
                raise error.at_key(f"nets[{error.entry}].net") from None

        for refusal, expected in [
            (self.refused(lambda: define({"::/0": 1, "a": 1})), 'nets[1].net: entry 2, "a", is not'),
            (self.refused(lambda: define([("::/0", 1)] * 2)), "nets[1].net: entry 2 repeats"),
            (self.refused(lambda: define({"a": 1}, "hots")), 'nets: "hots" is not a part'),
        ]:
            self.assertTrue(refusal and refusal.startswith(expected), (refusal, expected))

    def test_questions_are_defined_in_the_constructor_alone(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "in the router's constructor"):
            questions.value("host")

        class Late:
            def route(self, request: pointsman.Request) -> pointsman.Decision:
                return request.ask(questions.value("host"))

        plugin = testing.configure(pointsman.plugin(Late))
        with self.assertRaisesRegex(testing.Refused, "in the router's constructor"):
            plugin.route(testing.request())

    def test_what_would_trap_fails_the_test(self) -> None:
        for question, expected in [
            (questions.Value(1), "question 1 was not defined"),
            (questions.Value(0), "the answer to question 0 is a number"),
            (questions.Usable(7), "question 7 was not defined"),
        ]:

            class Asks:
                def __init__(self) -> None:
                    questions.usable("a")

                def route(self, request: pointsman.Request) -> pointsman.Decision:
                    try:
                        request.ask(question)
                    except BaseException:
                        pass
                    return pointsman.next()

            plugin = testing.configure(pointsman.plugin(Asks), backends=["a"])
            with self.assertRaisesRegex(AssertionError, expected):
                plugin.route(testing.request())


if __name__ == "__main__":
    unittest.main()
