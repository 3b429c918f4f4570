"""Runs the README's plugin, and its test."""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


class Readme(unittest.TestCase):
    def test_its_code_runs(self) -> None:
        text = (ROOT / "README.md").read_text()
        blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        self.assertEqual(len(blocks), 2)
        # All blocks run in one module, where `get_type_hints` looks up names.
        exec("\n".join(blocks), globals())


if __name__ == "__main__":
    unittest.main()
