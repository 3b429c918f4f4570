"""`python3 -m unittest discover tests`, in the SDK's folder."""

import pathlib
import random
import sys
import unittest
from dataclasses import dataclass, field
from typing import Any, Dict, List, Literal, Optional, Union

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import pointsman
from pointsman import testing
from pointsman._config import parse
from pointsman._request import Request, without_port


def request(*arguments: Any, **named: Any) -> Request:
    return Request(testing.Head(*arguments, **named))


class Requests(unittest.TestCase):
    def test_the_target_splits_at_its_first_question_mark(self) -> None:
        for target, path, query in [
            ("/", "/", None),
            ("/a?b=c", "/a", "b=c"),
            ("/a?", "/a", ""),
            ("/?a?b", "/", "a?b"),
            ("*", "*", None),
        ]:
            asked = request(target)
            self.assertEqual((asked.path, asked.query), (path, query), target)

    def test_a_parameter_is_decoded(self) -> None:
        asked = request("/?a=1&b+c=d%20e&a=2&%66=%zz%4&g&=h&i=%e4%C3%9f&j==")
        for name, value in [
            ("a", b"1"),
            ("b c", b"d e"),
            ("f", b"%zz%4"),
            ("g", b""),
            ("", b"h"),
            ("i", b"\xe4\xc3\x9f"),
            ("j", b"="),
            ("k", None),
            ("A", None),
        ]:
            self.assertEqual(asked.query_param(name), value, name)
        self.assertIsNone(request("/a").query_param("a"))

    def test_a_cookie_is_found_among_others(self) -> None:
        lines = [("cookie", "ab=1; a=2;a=3"), ("Cookie", b"b=\xff; =x;c ; d=")]
        asked = request(headers=lines)
        for name, value in [
            ("a", b"2"),
            ("ab", b"1"),
            ("A", None),
            ("b", b"\xff"),
            ("c", None),
            ("d", b""),
            ("cookie", None),
        ]:
            self.assertEqual(asked.cookie(name), value, name)

    def test_a_field_is_read_in_any_case_and_as_octets(self) -> None:
        lines = [("Host", b"\xff.test"), ("X-A", "1"), ("x-a", "2")]
        asked = request(headers=lines)
        self.assertEqual(asked.host, b"\xff.test")
        self.assertIsNone(asked.header_str("host"))
        self.assertEqual(asked.header_str("x-A"), "1")
        self.assertEqual(asked.header_lines("X-a"), [b"1", b"2"])
        self.assertEqual(asked.header_lines("y"), [])
        self.assertIsNone(request().host)
        self.assertIsNone(request().hostname)

    def test_a_port_is_no_part_of_a_hostname(self) -> None:
        for host, hostname in [
            (b"a", b"a"),
            (b"a:80", b"a"),
            (b"a:", b"a"),
            (b":80", b""),
            (b"", b""),
            (b"[::1]", b"[::1]"),
            (b"[::1]:80", b"[::1]"),
            (b"[::1]x", b"[::1]x"),
            (b"[::1", b"[::1"),
            (b"2001:db8::1", b"2001:db8::1"),
        ]:
            self.assertEqual(without_port(host), hostname, host)

    def test_any_octets_can_be_read(self) -> None:
        chance = random.Random(1)
        for _ in range(2000):
            value = bytes(chance.randrange(256) for _ in range(chance.randrange(40)))
            target = "/" + "".join(chr(chance.randrange(33, 127)) for _ in range(20))
            names = ["host", "cookie", "x-a"]
            asked = request(target, headers=[(chance.choice(names), value)])
            name = chr(chance.randrange(0x20, 0x3000))
            asked.cookie(name), asked.query_param(name), asked.header_str("x-a"), asked.hostname

    def test_edits_are_checked(self) -> None:
        head = testing.Head()
        asked = Request(head)
        for edit in [
            lambda: asked.set_header("a b", "c"),
            lambda: asked.append_header("", "c"),
            lambda: asked.append_header("a", "c\r\nd: e"),
            lambda: asked.set_path_with_query("a"),
            lambda: asked.set_path_with_query("/a b"),
            lambda: asked.remove_header("Content-Length"),
            lambda: asked.remove_header("host"),
        ]:
            self.assertRaises(pointsman.EditError, edit)
        asked.set_header("X-A", "1")
        asked.set_path_with_query("/b")
        self.assertEqual(head.edits, [("set", "x-a", b"1"), ("path-with-query", "/b")])


@dataclass
class Rule:
    suffix: Union[str, List[str]]
    weight: float = 1.0
    mode: Literal["a", "b"] = "a"


@dataclass
class Config:
    rules: List[Rule]
    port: Optional[int] = None
    names: Dict[str, bool] = field(default_factory=dict)


class Configuration(unittest.TestCase):
    def test_it_becomes_a_dataclass(self) -> None:
        config = parse(
            '{"rules":[{"suffix":"a","weight":2},{"suffix":["b"],"mode":"b"}],"port":null,'
            '"names":{"x":true}}',
            Config,
        )
        rules = [Rule("a", 2.0), Rule(["b"], mode="b")]
        self.assertEqual(config, Config(rules, None, {"x": True}))

    def test_errors_name_the_key(self) -> None:
        for text, expected in [
            ("{}", 'missing key "rules"'),
            ('{"rules":5}', "rules: must be a list, each a table, is 5"),
            ('{"rules":[{}]}', 'rules[0]: missing key "suffix"'),
            ('{"rules":[5]}', "rules[0]: must be a table, is 5"),
            ('{"rules":[{"suffix":5}]}', "rules[0].suffix: must be a text or a list, each a text, is 5"),
            ('{"rules":[{"suffix":["a",5]}]}', "rules[0].suffix[1]: must be a text, is 5"),
            ('{"rules":[{"sufix":"a"}]}', "rules[0].sufix: unknown key; there are `suffix`"),
            ('{"rules":[],"rule":[]}', "rule: unknown key"),
            ('{"rules":[],"port":true}', "port: must be a whole number or nothing, is true"),
            ('{"rules":[],"names":{"x":1}}', "names.x: must be true or false, is 1"),
            ('{"rules":[{"suffix":"a","mode":"c"}]}', 'rules[0].mode: must be one of "a", "b"'),
        ]:
            with self.assertRaises(pointsman.ConfigError) as caught:
                parse(text, Config)
            self.assertTrue(str(caught.exception).startswith(expected), caught.exception)
        self.assertRaisesRegex(pointsman.ConfigError, "^a: unknown key", parse, '{"a":1}', None)


class Glue(unittest.TestCase):
    def test_an_exception_is_logged_and_becomes_an_error(self) -> None:
        class Broken:
            def route(self, request: pointsman.Request) -> pointsman.Decision:
                raise ValueError("no\nline")

        plugin = testing.configure(pointsman.plugin(Broken))
        self.assertFalse(plugin.cacheable)
        with self.assertRaisesRegex(testing.Refused, "^ValueError: no"):
            plugin.route(testing.request())
        (level, text), = testing.lines
        self.assertIs(level, pointsman.log.Level.ERROR)
        self.assertIn("Traceback (most recent call last)", text)
        self.assertIn("in route", text)

    def test_a_surrogate_can_be_logged(self) -> None:
        testing.configure(pointsman.plugin(object_with_route()))
        pointsman.log.info("a\udcffb")
        self.assertEqual(testing.lines[-1][1], "a\\udcffb")

    def test_a_response_is_made_of_texts_and_octets(self) -> None:
        decision = pointsman.respond(403, [("x-a", "ä"), ("x-b", b"\xff")], "no")
        self.assertEqual(decision.value.headers, [("x-a", "ä".encode()), ("x-b", b"\xff")])
        self.assertEqual(pointsman.redirect(302, "/x").value.headers, [("location", b"/x")])


def object_with_route() -> Any:
    class Quiet:
        cacheable = True

        def route(self, request: pointsman.Request) -> pointsman.Decision:
            return pointsman.default_backend()

    return Quiet


if __name__ == "__main__":
    unittest.main()
