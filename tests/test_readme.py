"""The README's example runs and prints what stands below it."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_example_prints_what_it_says():
    found = re.search(r"```python\n(.*?)```\n\n    (.*?)\n", README.read_text(), re.DOTALL)
    assert found is not None
    code, printed = found.groups()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, str(README), "exec"), {})
    assert out.getvalue().strip() == printed


def test_it_fits_one_screen():
    assert len(README.read_text().splitlines()) <= 60
