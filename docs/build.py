"""Build the site into docs/_build/html: ``make docs``, or ``make docs-full`` without the cached outputs of cells.

Warnings, dead links and failing cells fail the build.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

DOCS = Path(__file__).parent
BUILD = DOCS / "_build"
NOISE = re.compile(r"IPKernelApp|traitlets client")  # what Jupyter says of each kernel that it starts


def main(arguments: list[str]) -> int:
    """Exit code of Sphinx. ``--full`` executes every cell and renders every page anew."""
    if "--full" in arguments and BUILD.exists():
        shutil.rmtree(BUILD)
    began = time.monotonic()
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-j", "2", "-W", "--keep-going", "-q"]
    command += ["-d", str(BUILD / "doctrees"), str(DOCS), str(BUILD / "html")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            if line.strip() and not NOISE.search(line):
                print(line, end="", flush=True)
    code = process.returncode
    if code == 0:
        print(f"documentation in {time.monotonic() - began:.0f} s: {BUILD / 'html' / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
