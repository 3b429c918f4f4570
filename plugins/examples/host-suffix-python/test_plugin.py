"""Tests of the plugin's functions: `python3 -m unittest`.

The decisions are tested by host-suffix's cases.toml.
"""

import sys
import unittest

sys.path.append("sdk")

import pointsman
from plugin import Plugin, values, without_port
from pointsman import testing


class Values(unittest.TestCase):
    def test_a_list_is_split_at_commas_outside_of_quotes(self) -> None:
        for line, expected in [
            (b"", [b""]),
            (b"a", [b"a"]),
            (b" a ,b\t,", [b"a", b"b", b""]),
            (b'"a,b",c', [b'"a,b"', b"c"]),
            (b'"a\\",b",c', [b'"a\\",b"', b"c"]),
            (b'"a,b', [b'"a,b']),
            (b'"a,b\\', [b'"a,b\\']),
            (b'a"b,c"d,e', [b'a"b,c"d', b"e"]),
            (b"\xff,\xfe", [b"\xff", b"\xfe"]),
        ]:
            self.assertEqual(list(values(line)), expected, line)


class Ports(unittest.TestCase):
    def test_a_port_is_no_part_of_a_host(self) -> None:
        for host, expected in [
            (b"a", b"a"),
            (b"a:80", b"a"),
            (b"a:", b"a"),
            (b":80", b""),
            (b"[::1]", b"[::1]"),
            (b"[::1]:80", b"[::1]"),
            (b"[::1]x", b"[::1]x"),
            (b"[::1", b"[::1"),
            (b"2001:db8::1", b"2001:db8::1"),
        ]:
            self.assertEqual(without_port(host), expected, host)


class Hosts(unittest.TestCase):
    def test_the_end_of_a_host_decides(self) -> None:
        plain = [{"suffix": ["io.test", "IO.test"], "backend": "node"}]
        whole = [{"suffix": "io.test", "backend": "node", "label_boundary": True}]
        port = [{"suffix": "IO.test", "backend": "node", "ignore_port": True}]
        for rules, host, matches in [
            (plain, "a.IO.TEST", True),
            (plain, "evilio.test", True),
            (plain, "io.test:80", False),
            (plain, "io.test,b", False),
            (plain, b"\xff.io.test", True),
            (whole, "A.io.test", True),
            (whole, "evilio.test", False),
            (port, "io.test:80", True),
            (port, "io.test.", False),
        ]:
            plugin = testing.configure(Plugin, {"rules": rules}, backends=["node"])
            decision = plugin.route(testing.request(headers=[("host", host)]))
            expected = pointsman.backend("node") if matches else pointsman.next()
            self.assertEqual(decision, expected, (rules, host))

    def test_a_connection_without_http_has_a_host(self) -> None:
        for options in [{}, {"label_boundary": True}]:
            rules = [{"suffix": "io.test", "backend": "node", **options}]
            plugin = testing.configure(Plugin, {"rules": rules}, backends=["node"])
            for name, decision in [
                ("a.io.test", pointsman.backend("node")),
                ("b.test", pointsman.next()),
            ]:
                request = testing.request(version=None, server_name=name)
                self.assertEqual(plugin.route(request), decision)


class Configuration(unittest.TestCase):
    def test_a_backend_must_be_there(self) -> None:
        rules = [{"suffix": "a", "backend": "b"}]
        with self.assertRaisesRegex(testing.Refused, r"^rules\[0\]\.backend: there is no"):
            testing.configure(Plugin, {"rules": rules}, backends=["c"])


if __name__ == "__main__":
    unittest.main()
