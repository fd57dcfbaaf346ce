from omni.base.events import SpeechHeard
from omni.base.timebase import TINY
from omni.session.playback import Playback

MS = 16                 # samples
NS = 1_000_000          # nanoseconds in a millisecond
BLOCK = TINY.block_samples


def _said(playback: Playback, words: int, word_ms: int = 200) -> None:
    """One reply of epoch 1: words back to back from 0 on."""
    playback.begin_reply(1)
    for i in range(words):
        playback.begin_word(i, f" w{i}", i * word_ms * MS)
        playback.end_word(i, (i + 1) * word_ms * MS)


def _send(playback: Playback, blocks: int) -> None:
    for i in range(blocks):
        playback.sent(i * BLOCK, BLOCK, i * 80 * NS)


def test_report_never_passes_what_was_sent_and_never_goes_back():
    """A client may say what it likes: the position stays between what it said before and what it was sent."""
    playback = Playback(TINY)
    _send(playback, 5)
    playback.report(10**9)
    assert playback.position == 5 * BLOCK
    playback.report(100)
    playback.report(-5)
    assert playback.position == 5 * BLOCK


def test_words_are_heard_as_they_are_played():
    playback = Playback(TINY)
    _said(playback, 3)
    _send(playback, 10)
    playback.report(150 * MS)
    assert playback.heard() == [SpeechHeard(1, "w0", False, False)]
    assert playback.heard() == []
    playback.report(320 * MS)
    assert playback.heard() == [SpeechHeard(1, "w0 w1", False, False)]


def test_final_comes_when_nothing_is_left_to_play():
    playback = Playback(TINY)
    _said(playback, 2)
    _send(playback, 10)
    playback.end_reply(400 * MS, interrupted=False)
    playback.report(399 * MS)
    assert not playback.heard()[0].final
    playback.report(400 * MS)
    assert playback.heard() == [SpeechHeard(1, "w0 w1", False, True)]
    assert playback.heard() == []


def test_cut_excludes_words_that_were_discarded():
    """After an interruption the words that were sent and thrown away are not part of what was said."""
    playback = Playback(TINY)
    playback.begin_reply(1)
    playback.begin_word(0, " one", 0)
    playback.end_word(0, 200 * MS)
    playback.begin_word(1, " two", 200 * MS)
    playback.end_word(1, 320 * MS)
    playback.begin_word(2, " three", 320 * MS)
    _send(playback, 6)
    playback.discard(210 * MS, 400 * MS)
    playback.end_reply(410 * MS, interrupted=True)
    playback.report(480 * MS)
    assert playback.heard() == [SpeechHeard(1, "one", False, True)]


def test_discarded_end_counts_as_played():
    """Nothing is left of a reply whose end was thrown away; waiting for a report of it would be for ever."""
    playback = Playback(TINY)
    _said(playback, 2)
    _send(playback, 5)
    playback.end_reply(400 * MS, interrupted=True)
    playback.discard(180 * MS, 400 * MS)
    playback.report(180 * MS)
    assert playback.heard() == [SpeechHeard(1, "w0", False, True)]


def test_word_cut_at_its_very_beginning_was_not_heard():
    playback = Playback(TINY)
    playback.begin_reply(1)
    playback.begin_word(0, " one", 0)
    playback.end_word(0, 200 * MS)
    playback.begin_word(1, " two", 200 * MS)
    playback.end_word(1, 250 * MS, cut=True)
    playback.end_reply(250 * MS, interrupted=True)
    _send(playback, 5)
    playback.report(400 * MS)
    assert playback.heard() == [SpeechHeard(1, "one", False, True)]


def test_estimate_without_reports():
    """Sent, less half the round trip, less the usual jitter buffer; and marked."""
    playback = Playback(TINY, round_trip_ms=40, jitter_buffer_ms=60)
    _said(playback, 2)
    _send(playback, 5)
    playback.estimate(79 * NS)
    assert playback.position == 0
    playback.estimate(180 * NS)
    assert playback.position == 100 * MS
    playback.estimate(181 * NS)
    assert playback.heard() == [SpeechHeard(1, "w0", True, False)]
    playback.estimate(10_000 * NS)
    assert playback.position == 5 * BLOCK, "the last block ends where it ends"


def test_a_report_ends_the_estimate():
    playback = Playback(TINY)
    _said(playback, 3)
    _send(playback, 10)
    playback.estimate(200 * NS)
    assert playback.heard()[0].estimated
    playback.report(130 * MS)
    assert playback.heard() == [SpeechHeard(1, "w0", False, False)], "the same words, known now"
    playback.estimate(10_000 * NS)
    assert playback.position == 130 * MS


def test_close_makes_the_last_reply_final():
    playback = Playback(TINY)
    _said(playback, 3)
    _send(playback, 3)
    playback.report(120 * MS)
    assert playback.close() == [SpeechHeard(1, "w0", False, True)]
