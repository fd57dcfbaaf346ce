"""The page's codec reads the same vectors as the server's."""

import subprocess
from pathlib import Path

from conftest import need


def test_the_vectors_in_javascript():
    script = Path(__file__).with_name("vectors.test.mjs")
    command = [need("node"), "--test", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
