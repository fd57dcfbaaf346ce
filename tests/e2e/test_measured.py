"""What real-time tests print is shown after a run with default options."""

from pathlib import Path

import conftest

pytest_plugins = ["pytester"]

TESTS = """
    import pytest

    @pytest.mark.realtime
    @pytest.mark.parametrize("way", ["up", "down"])
    def test_quick(way):
        print(f"{way} 12 ms")
        print("twice")

    @pytest.mark.realtime
    def test_wordless():
        pass

    @pytest.mark.realtime
    def test_broken():
        print("99 ms of a failure")
        assert False

    def test_other():
        print("nobody's business")
"""


def test_passing_realtime_tests_show_their_numbers(pytester):
    """They printed milliseconds that nobody saw: pytest shows the output of failing tests only."""
    pytester.makeconftest(Path(conftest.__file__).read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers = realtime\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(test_it=TESTS)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=4, failed=1)
    lines = result.outlines
    shown = lines[next(i for i, line in enumerate(lines) if "measured in real time" in line) + 1:]
    assert shown[:2] == [f"test_it.py::test_quick[{way}]: {way} 12 ms; twice" for way in ("up", "down")]
    assert not any(word in line for line in shown for word in ("wordless", "business"))
    pytester.makepyfile(test_it="def test_quiet():\n    print('x')")
    assert "measured in real time" not in pytester.runpytest_inprocess().stdout.str()
