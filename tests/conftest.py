"""What every test may use: `need()` skips with a reason, or fails where the machine promised to have everything."""

import os
import shutil
import signal
from pathlib import Path

import pytest

# a shell starts what runs in its background with SIGINT ignored, and tests press Ctrl-C
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_PROBES = {
    "chromium": lambda: shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"),
    "pulseaudio": lambda: shutil.which("pulseaudio") and shutil.which("pactl"),
    "node": lambda: shutil.which("node"),
    "espeak-ng": lambda: shutil.which("espeak-ng"),
}


def _portaudio() -> bool:
    try:
        import sounddevice  # noqa: F401  (loading it is the probe)
    except OSError:
        return False
    return True


def _flite() -> bool:
    from omni.base.errors import OmniError
    from omni.data.flite import Flite
    try:
        Flite("slt")
    except OmniError:
        return False
    return True


_PROBES["portaudio"], _PROBES["flite"] = _portaudio, _flite


def need(what: str) -> str:
    """Skip the calling test unless `what` is on this machine; with OMNI_REQUIRE_ALL=1 its absence is a failure.

    Returns the program's path where it is a program.
    """
    found = _PROBES[what]()
    if not found:
        if os.environ.get("OMNI_REQUIRE_ALL") == "1":
            pytest.fail(f"{what} is missing on a machine that must have it")
        pytest.skip(f"{what} is not installed")
    return str(found)


def pytest_sessionstart(session: pytest.Session) -> None:
    """The suite tests the installed package: a checkout that shadows it would hide packaging faults."""
    import omni

    checkout = Path(__file__).resolve().parent.parent
    installed = Path(omni.__file__).resolve().parent
    if installed == checkout / "omni" and os.environ.get("OMNI_ALLOW_CHECKOUT") != "1":
        raise pytest.UsageError(
            "omni is imported from the checkout, not from an installation; run `pip install '.[test]'` and `pytest`, "
            "or set OMNI_ALLOW_CHECKOUT=1 to test an editable install on purpose")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What passing tests marked `realtime` printed, a line a test: pytest keeps it to itself, and it is what they are
    for."""
    printed = [(report.nodeid, "; ".join(line for line in report.capstdout.splitlines() if line.strip()))
               for report in terminalreporter.getreports("passed")
               if report.when == "call" and "realtime" in report.keywords]
    if any(text for _, text in printed):
        terminalreporter.section("measured in real time")
        for name, text in printed:
            if text:
                terminalreporter.line(f"{name}: {text}")


@pytest.fixture(autouse=True)
def _settled(request: pytest.FixtureRequest):
    """As the commands run in real time: hundreds of tests leave a heap of which one full collection takes 0.6 s."""
    if request.node.get_closest_marker("realtime") is None:
        yield
        return
    from omni.base.memory import settled_heap
    with settled_heap():
        yield


@pytest.fixture
def one_thread():
    """Of torch: where steps are small, threads that share a busy core only wait for each other."""
    import torch
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
