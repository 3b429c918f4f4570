"""`python3 -m unittest`: the functions; what it decides is in host-suffix's cases.toml."""

import sys
import unittest

sys.path.append("sdk")

from plugin import Plugin, values
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


class Configuration(unittest.TestCase):
    def test_a_backend_must_be_there(self) -> None:
        rules = [{"suffix": "a", "backend": "b"}]
        with self.assertRaisesRegex(testing.Refused, r"^rules\[0\]\.backend: there is no"):
            testing.configure(Plugin, {"rules": rules}, backends=["c"])


if __name__ == "__main__":
    unittest.main()
