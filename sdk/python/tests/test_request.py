"""Tests of reads, edits and options of a request."""

import pathlib
import random
import sys
import unittest
from datetime import timedelta
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import pointsman
from pointsman import testing
from pointsman._request import Request


def request(*arguments: Any, **named: Any) -> Request:
    return Request(testing.Head(*arguments, **named))


class Reads(unittest.TestCase):
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
            self.assertEqual(asked.query_parameter(name), value, name)
        self.assertIsNone(request("/a").query_parameter("a"))

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
        asked = request(headers=[("Host", b"\xff.test"), ("X-A", " 1\t"), ("x-a", "2")])
        self.assertEqual(asked.authority, b"\xff.test")
        self.assertIsNone(asked.header_str("host"))
        self.assertEqual(asked.header_str("x-A"), "1")
        self.assertEqual(asked.header_lines("X-a"), [b"1", b"2"])
        self.assertEqual(asked.header_lines("y"), [])
        self.assertEqual(asked.headers(), [("Host", b"\xff.test"), ("X-A", b"1"), ("x-a", b"2")])
        self.assertEqual((request().authority, request().host), (b"", ""))

    def test_a_host_is_without_port_and_case(self) -> None:
        for authority, host in [
            ("a", "a"),
            ("A.Test:80", "a.test"),
            ("a.", "a"),
            ("a.:", "a"),
            ("", ""),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
        ]:
            self.assertEqual(request(headers=[("host", authority)]).host, host, authority)

    def test_facts_of_the_connection(self) -> None:
        clear = request()
        self.assertEqual(
            (clear.method, clear.scheme, clear.version, clear.attempt),
            ("GET", "http", "1.1", 0),
        )
        self.assertEqual((clear.client_address, clear.client_port), ("127.0.0.1", 49152))
        self.assertEqual((clear.server_name, clear.alpn), (None, None))
        self.assertEqual(
            (clear.client_certificate_names, clear.client_certificate_sha256), ([], None)
        )
        certificate = testing.Certificate(
            "CN=a", "CN=b", ["spiffe://a"], serial="0a", sha256="ff", not_after=1
        )
        secure = request(
            method="PUT",
            version="2",
            client_address="::1",
            client_port=0,
            server_name="a.test",
            alpn="h2",
            client_certificate=certificate,
            attempt=2,
        )
        self.assertEqual((secure.scheme, secure.version, secure.attempt), ("https", "2", 2))
        self.assertEqual((secure.server_name, secure.alpn), ("a.test", "h2"))
        self.assertEqual((secure.client_address, secure.client_port), ("::1", 0))
        self.assertEqual(secure.client_certificate_subject, "CN=a")
        self.assertEqual(secure.client_certificate_issuer, "CN=b")
        self.assertEqual(secure.client_certificate_names, ["spiffe://a"])
        self.assertEqual(secure.client_certificate_serial, "0a")
        self.assertEqual(secure.client_certificate_sha256, "ff")
        self.assertEqual(secure.client_certificate_not_after, 1)

    def test_a_connection_without_http_has_a_host(self) -> None:
        asked = request("/", headers=[("host", "a")], version=None, server_name="b.test")
        self.assertEqual((asked.version, asked.host, asked.authority), (None, "b.test", b""))
        self.assertEqual((asked.method, asked.path, asked.headers()), ("", "", []))

    def test_a_body_is_there_if_the_frontend_waits(self) -> None:
        for named, expected in [
            ({}, (None, False)),
            ({"body": "a"}, (b"a", True)),
            ({"body": b"\xff", "body_is_complete": False}, (b"\xff", False)),
        ]:
            asked = request(**named)
            self.assertEqual((asked.body_prefix, asked.body_is_complete), expected)

    def test_any_octets_can_be_read(self) -> None:
        chance = random.Random(1)
        for _ in range(2000):
            value = bytes(chance.randrange(256) for _ in range(chance.randrange(40)))
            target = "/" + "".join(chr(chance.randrange(33, 127)) for _ in range(20))
            names = ["host", "cookie", "x-a"]
            asked = request(target, headers=[(chance.choice(names), value)])
            name = chr(chance.randrange(0x20, 0x3000))
            asked.cookie(name), asked.query_parameter(name), asked.header_str("x-a"), asked.host


class Edits(unittest.TestCase):
    def test_they_are_recorded(self) -> None:
        head = testing.Head("/old/a?b")
        asked = Request(head)
        asked.set_header("X-A", "1")
        asked.append_header("x-b", b"\xff")
        asked.remove_header("x-c")
        asked.set_authority("b.test:80")
        asked.set_path_with_query("/b?c")
        asked.replace_path_prefix(4, "/new")
        asked.set_response_header("X-D", "1")
        asked.append_response_header("set-cookie", "a=b")
        asked.remove_response_header("server")
        self.assertEqual(
            head.edits,
            [
                ("set", "x-a", b"1"),
                ("append", "x-b", b"\xff"),
                ("remove", "x-c"),
                ("authority", b"b.test:80"),
                ("path-with-query", "/b?c"),
                ("replace-path-prefix", 4, "/new"),
            ],
        )
        self.assertEqual(
            head.response_edits,
            [("set", "x-d", b"1"), ("append", "set-cookie", b"a=b"), ("remove", "server")],
        )

    def test_they_are_checked(self) -> None:
        head = testing.Head()
        asked = Request(head)
        for edit, reason in [
            (lambda: asked.set_header("a b", "c"), '"a b" is not a field name'),
            (lambda: asked.append_header("", "c"), '"" is not a field name'),
            (lambda: asked.append_header("a", "c\r\nd: e"), '"a" cannot have this value'),
            (lambda: asked.remove_header("Content-Length"), "set by the proxy alone"),
            (lambda: asked.set_header("Host", "a"), "by `set-authority`"),
            (lambda: asked.set_authority("a b"), "not a host"),
            (lambda: asked.set_path_with_query("a"), "not a target"),
            (lambda: asked.set_path_with_query("/a b"), "not a target"),
            (lambda: asked.replace_path_prefix(1, "/#"), "not a part of a path"),
            (lambda: asked.replace_path_prefix(1, "/?"), "not a part of a path"),
            (lambda: asked.set_response_header("a", "\n"), '"a" cannot have this value'),
            (lambda: asked.remove_response_header("upgrade"), "set by the proxy alone"),
        ]:
            self.assertRaisesRegex(pointsman.EditError, reason, edit)
        self.assertEqual((head.edits, head.response_edits), ([], []))

    def test_a_connection_without_http_has_none(self) -> None:
        head = testing.Head(version=None, server_name="a.test")
        asked = Request(head)
        for edit in [
            lambda: asked.set_header("a", "b"),
            lambda: asked.append_header("a", "b"),
            lambda: asked.remove_header("a"),
            lambda: asked.set_authority("a"),
            lambda: asked.set_path_with_query("/"),
            lambda: asked.replace_path_prefix(0, "/"),
            lambda: asked.set_response_header("a", "b"),
            lambda: asked.append_response_header("a", "b"),
            lambda: asked.remove_response_header("a"),
        ]:
            self.assertRaisesRegex(pointsman.EditError, "without HTTP has nothing to edit", edit)
        self.assertEqual((head.edits, head.response_edits), ([], []))


class Options(unittest.TestCase):
    def test_the_last_of_each_counts(self) -> None:
        head = testing.Head()
        asked = Request(head)
        asked.set_affinity("a")
        asked.set_affinity(b"\xff")
        asked.set_queue_timeout(timedelta())
        asked.set_connect_timeout(timedelta(microseconds=1))
        asked.set_server_timeout(timedelta(seconds=30))
        asked.set_tunnel_timeout(timedelta(hours=1))
        asked.set_tries(1)
        asked.set_tries(16)
        asked.tag("a", "1")
        asked.tag("a", "ä")
        self.assertEqual(
            head.options,
            {
                "affinity": b"\xff",
                "queue_timeout": timedelta(),
                "connect_timeout": timedelta(milliseconds=1),
                "server_timeout": timedelta(seconds=30),
                "tunnel_timeout": timedelta(hours=1),
                "tries": 16,
            },
        )
        self.assertEqual(head.tags, {"a": "ä"})

    def test_what_would_trap_raises(self) -> None:
        asked = request()
        for call in [
            lambda: asked.set_connect_timeout(timedelta()),
            lambda: asked.set_queue_timeout(timedelta(milliseconds=-1)),
            lambda: asked.set_tunnel_timeout(timedelta(days=50)),
            lambda: asked.set_tries(0),
            lambda: asked.set_tries(17),
            lambda: asked.set_tries(1.5),
            lambda: asked.replace_path_prefix(-1, "/"),
            lambda: asked.tag("a", b"b"),
            lambda: asked.tag("a", "\ud800"),
            lambda: asked.tag_by("a", 0),
            lambda: asked.set_affinity(None),
            lambda: asked.ask(0),
            lambda: asked.header(b"a"),
        ]:
            self.assertRaises((TypeError, ValueError), call)


if __name__ == "__main__":
    unittest.main()
