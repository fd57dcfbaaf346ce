"""What a bank says is drawn for it, and never what is held out for evaluation."""

import random

import numpy as np
import pytest

from omni.base.errors import OmniError
from omni.data import bank, held_out, user, voices
from omni.data.bank import BankStage
from omni.data.skills.talk import Memory


def _texts(seed: int, count: int = 400, **settings) -> list[str]:
    rng, memory = random.Random(seed), Memory()
    return [bank._draw(rng, memory, **settings)["text"] for _ in range(count)]


@pytest.mark.parametrize("settings", [{}, {"more": {"stories": 0.3}}, {"evenly": 1.0}], ids=["plain", "more", "evenly"])
def test_what_is_held_out_is_drawn_anew(settings, monkeypatch):
    """Regression: one chance hit in many thousands of lines, and the whole bank was refused whenever it was read."""
    drawn = _texts(3, **settings)
    apart = frozenset(text.lower() for text in drawn[::3] if text not in bank.BACKCHANNELS)
    assert len(apart) > 50
    for module in (held_out, user):
        monkeypatch.setattr(module, "wordings", lambda: apart)
    assert not {text.lower() for text in _texts(3, **settings)} & apart


def test_words_in_any_order_are_no_held_out_text_either(monkeypatch):
    monkeypatch.setattr(voices, "speak_aligned", lambda text, voice: voices.Spoken(np.ones(3_200, np.float32), (), ()))
    stage = BankStage("bank", "x", lexicon=1.0)

    def said() -> set[str]:
        return {line["text"] for _, line in bank._synthesise((5, 20, stage, list("abcdefgh")))}

    before = said()
    monkeypatch.setattr(held_out, "wordings", lambda: frozenset(before))
    assert len(before) == 20 and not said() & before


def test_a_bank_with_what_is_held_out_is_refused(tmp_path, monkeypatch):
    np.zeros(4, np.int16).tofile(tmp_path / bank.AUDIO)
    (tmp_path / bank.LINES).write_text('{"start": 0, "count": 4, "text": "A secret", "reply": "", "skill": "other", '
                                       '"source": "espeak:a", "dev": false, "facts": {}}\n')
    assert bank.load(tmp_path)[0].text == "A secret"
    monkeypatch.setattr(held_out, "wordings", lambda: frozenset({"a secret"}))
    with pytest.raises(OmniError, match="held out"):
        bank.load(tmp_path)
