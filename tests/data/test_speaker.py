"""The agent's side of a lesson is what the mouth would really do: the same tokens, the same queue, the same sound."""

import pytest
import tiny
import torch

from omni.data.speaker import BLOCK, Rendered, TextSpeaker, VoiceSpeaker, schedule
from omni.model.mouth import RAMP, Mouth
from omni.model.synthesizer import FRAMES, Synthesizer
from omni.model.tokens import CUT_0, END_SPEAK, FIRST_PIECE, MAX_WAITING, START_SPEAK, THINK, Pieces

PIECES = Pieces([*tiny.WORDS, "a", "lighthouse"])
ON, OFF = torch.tensor([True]), torch.tensor([False])
TEXTS = ["one.", "one two three four, a lighthouse?", "A B one C, four. two, three a a one four two lighthouse.", ""]


@pytest.fixture(scope="module", params=range(3))
def mouth(request) -> Mouth:
    """Random durations: some end at once, some by the limit, and what follows matters."""
    mouth = tiny.steady(tiny.randomise(Mouth(tiny.MOUTH, len(PIECES)), seed=request.param))
    with torch.no_grad():
        mouth.synthesizer.timing[-1].bias += request.param
    return mouth


@torch.no_grad()
def _eager(mouth: Mouth, ids: list[int], cut_at: int | None = None) -> Rendered:
    """Drive the real mouth as a model would that always says its next piece as soon as it may."""
    state, fresh, todo = mouth.init_state(1), mouth.init_state(1), list(ids)
    tokens, waiting, sounding, audio = [], [], [], []
    while not tokens or tokens[-1] != END_SPEAK:
        queue = state["queue"]
        waiting.append(int(Synthesizer.waiting(queue)))
        sounding.append(int(Synthesizer.sounding(queue)))
        if not tokens:
            tokens.append(START_SPEAK)
        elif len(tokens) == cut_at:
            tokens.append(END_SPEAK)
        elif todo and waiting[-1] < MAX_WAITING:
            tokens.append(todo.pop(0))
            token = torch.tensor([tokens[-1]])
            mouth.synthesizer.push(queue, token, mouth.drive(token), ON)
        elif not todo and not waiting[-1] and not sounding[-1]:
            tokens.append(END_SPEAK)
        else:
            tokens.append(THINK)
        cut = tokens[-1] == END_SPEAK and waiting[-1] + sounding[-1] > 0
        audio.append(mouth.step(ON if cut else OFF, state, fresh, ON)[0][0])
    return Rendered(*(torch.tensor(x).numpy() for x in (tokens, waiting, sounding)), torch.cat(audio).numpy())


@pytest.mark.parametrize("text", TEXTS)
def test_a_rendered_reply_is_what_the_mouth_does(mouth, text):
    real, planned = _eager(mouth, PIECES.encode(text)), VoiceSpeaker(mouth, PIECES).render(text)
    assert planned.tokens.tolist() == real.tokens.tolist()
    assert planned.waiting.tolist() == real.waiting.tolist()
    assert planned.sounding.tolist() == real.sounding.tolist()
    assert len(planned.audio) == len(planned.tokens) * BLOCK
    assert abs(planned.audio - real.audio).max() < 1e-3  # parallel and stepped sums round apart
    assert not text or (real.audio**2).mean() > 1e-7


@pytest.mark.parametrize("block", [2, 3, 5, 8])
def test_a_reply_cut_in_a_block_is_what_the_mouth_does_when_cut_there(mouth, block):
    text = TEXTS[2]
    cut, fed = VoiceSpeaker(mouth, PIECES).render(text).cut(block)
    real = _eager(mouth, PIECES.encode(text), block)
    assert cut.tokens.tolist() == real.tokens.tolist() and cut.waiting.tolist() == real.waiting.tolist()
    busy = real.waiting[block] + real.sounding[block] > 0
    assert fed == (CUT_0 + real.waiting[block] if busy else END_SPEAK)
    if busy:
        at = block * BLOCK
        assert (cut.audio[at + RAMP - 1:] == 0).all() and (real.audio[at + RAMP - 1:] == 0).all()
        assert abs(cut.audio[:at] - real.audio[:at]).max() < 1e-3
        # the ramp itself may differ: the plan knew its next piece in this block, a mouth that is cut never gets it
        assert len(cut.audio) == len(real.audio)


def test_cutting_leaves_the_reply_itself_as_it_was(mouth):
    reply = VoiceSpeaker(mouth, PIECES).render(TEXTS[1])
    before = reply.audio.copy(), reply.tokens.copy()
    reply.cut(3)
    assert (reply.audio == before[0]).all() and (reply.tokens == before[1]).all()


def test_a_text_without_sound_is_paced_too():
    reply = TextSpeaker(PIECES).render("one two three, lighthouse.")
    assert [t for t in reply.tokens if t >= FIRST_PIECE] == PIECES.encode("one two three, lighthouse.")
    assert reply.tokens[0] == START_SPEAK and reply.tokens[-1] == END_SPEAK and len(reply.audio) == 0
    assert reply.waiting.max() == MAX_WAITING
    assert len(reply.tokens) * 80 > 1500, "twenty-odd characters take more than a second and a half"


def test_a_piece_waits_until_the_piece_two_before_has_begun():
    plan, course = schedule(list(range(FIRST_PIECE, FIRST_PIECE + 6)), TextSpeaker(PIECES))
    began = {}
    for at, current in enumerate(course[:, -4]):
        began.setdefault(int(current), at // FRAMES)
    for block, token in enumerate(plan.tokens):
        if token >= FIRST_PIECE + 2:
            assert began[token - 2] < block, "piece k + 2 comes once piece k has begun to sound"


def test_rendering_is_remembered_within_bounds(mouth):
    speaker = VoiceSpeaker(mouth, PIECES, cached=2)
    first = speaker.render("one")
    assert speaker.render("one") is first
    speaker.render("two"), speaker.render("three")
    assert speaker.render("one") is not first and (speaker.render("one").audio == first.audio).all()
