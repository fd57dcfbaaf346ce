"""Word errors are the fewest edits."""

import pytest

from omni.base.words import word_errors


@pytest.mark.parametrize("reference, hypothesis, errors", [
    ("a b c", "a c", (1, 3)), ("", "x y", (2, 0)), ("one two", "two one", (2, 2)), ("a b", "a b", (0, 2)),
    ("a b c", "", (3, 3)), ("iced mocha please", "nice mocha", (2, 3)),
])
def test_word_errors(reference, hypothesis, errors):
    assert word_errors(reference, hypothesis) == errors
