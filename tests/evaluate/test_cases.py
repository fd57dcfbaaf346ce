"""Conversations are read as they were written, and what is audible is what is loud enough for long enough."""

import json

import numpy as np
import pytest

from omni.audio.files import write_wav
from omni.base.errors import MediaError
from omni.evaluate.cases import RATE_HZ, Case, Ending, Floor, Word, audible, load_case
from omni.evaluate.record import Caption
from omni.evaluate.verdicts import TurnSpan

TRACE = [
    {"at": 0.5, "type": "user_turn", "name": "ask", "from": 0.5, "to": 1.5, "speech_from": 0.6, "speech_to": 1.4,
     "kind": "turn", "text": "what is it", "answer": ["twelve"], "decisive": 1.2},
    {"at": 0.8, "type": "user_text", "text": "wh"},
    {"at": 2.0, "type": "start_speak"},
    {"at": 2.0, "type": "agent_text", "text": " twel", "from": 2.0, "to": 2.2, "cut": False},
    {"at": 2.2, "type": "agent_text", "text": "ve", "from": 2.2, "to": 2.4, "cut": False},
    {"at": 2.4, "type": "agent_text", "text": ",", "from": 2.4, "to": 2.5, "cut": False},
    {"at": 2.6, "type": "user_turn", "name": "no", "from": 2.6, "to": 3.0, "speech_from": 2.7, "speech_to": 2.9},
    {"at": 2.64, "type": "agent_text", "text": " or", "from": 2.64, "to": 2.81, "cut": True},
    {"at": 2.8, "type": "end_speak", "reason": "interrupted", "unheard": 1},
    {"at": 3.04, "type": "start_speak"},
    {"at": 3.04, "type": "agent_text", "text": "well", "from": 3.04, "to": 3.2, "cut": False},
    {"at": 4.0, "type": "summary", "agent_text": "twelve, or well", "user_text": "wh", "blocks": 50}]


def _write(folder, lines=TRACE, channels: int = 2, rate: int = RATE_HZ):
    folder.mkdir(exist_ok=True)
    samples = np.zeros((channels, 4 * rate), np.float32)
    samples[-1, 2 * rate:int(2.8 * rate)] = 0.25
    write_wav(folder / "conversation.wav", samples, rate)
    (folder / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_a_folder_is_read_as_simulate_writes_it(tmp_path):
    case = load_case(_write(tmp_path / "a_try"))
    assert case.name == "a_try" and case.num_samples == 64_000
    assert case.turns == (
        TurnSpan("ask", 8_000, 24_000, 9_600, 22_400, "turn", "what is it", ("twelve",), 19_200),
        TurnSpan("no", 41_600, 48_000, 43_200, 46_400, "turn", None, (), None))
    assert case.replies == (Floor(32_000, 44_800, 44_960, "interrupted"), Floor(48_640))
    assert case.words == (Word("twelve,", 32_000, 38_400), Word("or", 42_240, 44_960, True),
                          Word("well", 48_640, 51_200))
    assert case.captions == (Caption("wh", 12_800),)
    assert not case.user.any() and case.agent[32_000] == 0.25
    assert [(s.start, s.end, s.spoken) for s in case.sounds] == [(32_000, 44_800, True)]


def test_turns_come_in_order_of_their_speech_whatever_the_order_of_their_recordings(tmp_path):
    late = {**TRACE[6], "from": 0.4, "name": "late"}
    assert [t.name for t in load_case(_write(tmp_path / "x", [late, TRACE[0]])).turns] == ["ask", "late"]
    zeros, turns = np.zeros(64_000, np.float32), [TurnSpan("b", 0, 9, 5, 9), TurnSpan("a", 0, 9, 4, 9)]
    with pytest.raises(ValueError, match="order"):
        Case("x", zeros, zeros, tuple(turns))
    with pytest.raises(ValueError, match="shapes"):
        Case("x", zeros, zeros[1:])


@pytest.mark.parametrize(("line", "message"), [
    ("{", "x/trace.jsonl:13: no event"), ("[]", "x/trace.jsonl:13: no event"), ('{"at": 1}', "no event"),
    ('{"type": "user_text", "at": "soon", "text": "a"}', "no event"),
    ('{"type": "user_turn", "name": "a", "from": 0, "to": 1, "speech_from": 0, "speech_to": 1, "kind": "shout"}',
     "no event")])
def test_a_wrong_trace_is_told_in_one_line(tmp_path, line, message):
    folder = _write(tmp_path / "x")
    with (folder / "trace.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(MediaError, match=message):
        load_case(folder)


def test_a_recording_that_is_none_of_user_and_agent_is_refused(tmp_path):
    for number, wrong in enumerate(({"channels": 1}, {"rate": 8_000})):
        with pytest.raises(MediaError, match="not user and agent"):
            load_case(_write(tmp_path / str(number), **wrong))
    folder = _write(tmp_path / "x")
    (folder / "trace.jsonl").unlink()
    with pytest.raises(MediaError, match="cannot be read"):
        load_case(folder)


def _case(spans, words=(), replies=(), level: float = 0.1) -> Case:
    agent = np.zeros(64_000, np.float32)
    for start, end in spans:
        agent[start:end] = level
    return Case("x", np.zeros_like(agent), agent, (), tuple(Floor(*r) for r in replies), tuple(words))


def test_the_audible_level_is_minus_50_db():
    frame = np.full(160, 10 ** (-50.1 / 20), np.float32)
    found = audible(np.concatenate([frame, frame * 1.03, frame[:80] * 1.03]))
    np.testing.assert_array_equal(found, [False, True, False])


def test_sounds_are_frames_bridged_over_short_pauses_and_without_clicks():
    case = _case([(1_600, 3_200), (11_200, 12_800), (20_960, 24_000), (40_000, 40_640)])
    assert [(s.start, s.end) for s in case.sounds] == [(1_600, 12_800), (20_960, 24_000)]
    assert [(s.start, s.end) for s in _case([(1_700, 4_900)]).sounds] == [(1_600, 4_960)]
    assert [(s.start, s.end) for s in _case([(62_000, 64_000)]).sounds] == [(61_920, 64_000)]


def test_a_new_reply_begins_a_new_sound():
    spans = [(1_600, 6_400), (8_960, 12_800)]
    assert len(_case(spans, replies=[(1_280, 6_400, 6_400, "interrupted")]).sounds) == 1
    case = _case(spans, replies=[(1_280, 6_400, 6_400, "interrupted"), (8_960, 12_800, 12_800, "finished")])
    first, second = case.sounds
    assert (first.end, second.start) == (6_400, 8_960)
    assert case.ending(first) == Ending(6_400, 6_400, True)
    assert case.ending(second) == Ending(12_800, 12_800, False)


@pytest.mark.parametrize(("replies", "endings"), [
    ([(1_280, 25_600, 25_600, "finished")], [Ending(24_000, 24_000, False)] * 2),
    ([(1_280, 25_600, 25_760, "interrupted")], [Ending(24_000, 25_600, True)] * 2),     # in a pause
    ([(1_280, 23_840, 24_000, "interrupted")], [Ending(24_000, 24_000, True)] * 2),
    ([(1_280, None, None, None)], [Ending(24_000, 64_000, False)] * 2),         # it still had the floor
    ([(1_280, 24_000, 24_000, None)], [Ending(24_000, 24_000, None)] * 2),      # a server that tells no reason
    ([(1_280, 6_400, 6_400, None)], [Ending(24_000, 24_000, None)] * 2),        # nor where its sound ends
    ([(1_280, 6_400, 6_400, None), (20_800, 24_000, 24_000, None)],
     [Ending(6_400, 6_400, None), Ending(24_000, 24_000, None)]),
    ([(1_280, None, None, None), (20_800, None, None, None)],
     [Ending(6_400, 6_400, None), Ending(24_000, 64_000, False)]),
    ([(1_280, 6_400, 6_400, "interrupted"), (20_801, 24_000, 24_000, "finished")],
     [Ending(6_400, 6_400, True), Ending(24_000, 24_000, False)]),
    ([], [Ending(6_400, 6_400, False), Ending(24_000, 24_000, False)])])
def test_speech_ends_with_its_reply_whatever_pauses_are_in_it(replies, endings):
    case = _case([(1_600, 6_400), (20_800, 24_000)], replies=replies)
    assert [case.ending(sound) for sound in case.sounds] == endings


def test_silence_that_the_recording_cuts_short_ends_nothing():
    """A server that tells no reason was once taken for cut wherever a recording ended in a pause of it."""
    for end, cut in ((56_000, None), (56_160, False)):
        case = _case([(1_600, end)], replies=[(1_280, end, end, None)])
        assert case.ending(case.sounds[0]) == Ending(end, end, cut)


def test_a_reply_whose_own_end_a_delay_puts_behind_the_recording_has_finished():
    """It once lost its reason, and counted as cut if its last sound lay within the recording."""
    case = _case([(1_600, 56_000)], replies=[(1_280, 63_200, 63_200, "finished")]).delayed(2_000)
    assert case.replies == (Floor(3_280, None, None, "finished"),)
    assert case.ending(case.sounds[0]) == Ending(58_080, 58_080, False)
    cut = _case([(1_600, 56_000)], replies=[(1_280, 63_200, 63_360, "interrupted")]).delayed(2_000)
    assert cut.replies == (Floor(3_280),)
    assert cut.ending(cut.sounds[0]) == Ending(58_080, 64_000, False)


def test_whether_there_was_an_echo_is_read_from_the_script_that_was_held(tmp_path):
    folder = _write(tmp_path / "x")
    assert load_case(folder).echo_db is None
    for told, echo_db in (({"echo": {"gain_db": -12.0, "delay_ms": 100}}, -12.0), ({"echo": {"gain_db": 0}}, 0),
                          ({"echo": None}, None), ({}, None), (None, None), ({"echo": {"gain_db": [-9, 0]}}, None)):
        (folder / "verdicts.json").write_text(json.dumps({"scenario": told}))
        case = load_case(folder)
        assert case.echo_db == case.delayed(2_000).echo_db == echo_db
    (folder / "verdicts.json").write_text("{")
    assert load_case(folder).echo_db is None


def test_a_sound_is_spoken_if_a_word_sounds_in_it():
    spans = [(1_600, 6_400), (16_000, 20_800), (32_000, 36_800)]
    case = _case(spans, [Word("one", 6_300, 6_500), Word(",", 16_000, 17_600), Word("two", 20_800, 32_000)])
    assert [s.spoken for s in case.sounds] == [True, False, False]
    assert case.speaking(6_399) is case.sounds[0]
    assert case.speaking(6_400) is None and case.speaking(16_100) is None


def test_the_next_turn_for_the_agent_is_none_of_the_noises():
    kinds = ("turn", "backchannel", "tic", "noise", "other", "stop", "pause")
    turns = tuple(TurnSpan(kind, i * 800, i * 800 + 800, i * 800, i * 800 + 800, kind) for i, kind in enumerate(kinds))
    zeros = np.zeros(16_000, np.float32)
    case = Case("x", zeros, zeros, turns)
    assert [case.following(t) and case.following(t).name for t in turns] == ["stop"] * 5 + ["pause", None]
    assert [case.until(t) for t in turns[4:]] == [4_000, 4_800, 16_000]
