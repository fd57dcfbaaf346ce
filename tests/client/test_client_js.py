"""The page's own logic, run by Node: the life of a call, captions, the strip's marks, the queue to the loudspeaker."""

import subprocess
from pathlib import Path

import pytest
from conftest import need

SCRIPTS = sorted(path.name for path in Path(__file__).parent.glob("*.test.mjs") if path.name != "vectors.test.mjs")


@pytest.mark.parametrize("script", SCRIPTS)
def test_in_javascript(script):
    command = [need("node"), "--test", str(Path(__file__).with_name(script))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
