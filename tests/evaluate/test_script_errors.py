"""Bad scripts fail before anything runs; the message names file, line and the nearest valid key or name."""

import json

import numpy as np
import pytest

from omni import cli
from omni.audio.files import write_wav
from omni.base.errors import OmniError, ScriptError
from omni.evaluate import simulate
from omni.evaluate.scripts import concrete, load_scenario
from omni.evaluate.simulate import check, check_files

HEAD = "title: A try\nlength_s: 12\n"
ASK = "user:\n  - play: ask.wav\n    when: {at_s: 1.0}\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes try.yaml beside ask.wav (0.6 s), click.wav (50 ms), still.wav (silence) and sets; there is no
    OMNI_DATA_DIR, and every voice can speak."""
    monkeypatch.delenv("OMNI_DATA_DIR", raising=False)
    monkeypatch.setattr(simulate.voices, "speak", lambda text, voice: np.zeros(800, np.float32))
    simulate._try_voice.cache_clear()
    rng = np.random.default_rng(3)
    for name, seconds in (("ask", 0.6), ("click", 0.05)):
        write_wav(tmp_path / f"{name}.wav", 0.2 * rng.standard_normal(int(seconds * 16_000)), 16_000)
    write_wav(tmp_path / "still.wav", np.zeros(16_000, np.float32), 16_000)
    (tmp_path / "torn.wav").write_bytes((tmp_path / "ask.wav").read_bytes()[:2_000])
    (tmp_path / "sets").mkdir()
    for name, text in (("calls", "kind: turn\nfiles:\n  - ask.wav\n  - asc.wav\n"),
                       ("clicks", "kind: noise\nfiles: [click.wav]\n"), ("words", "kind: turn\ntexts: [hello]\n"),
                       ("drinks", "kind: turn\nrecordings: coffee_order\n"),
                       ("barks", "kind: noise\nsounds: [dog_bark,\n  dog_park]\n"),
                       ("street", "kind: noise\nbeds: [streat]\n"), ("none", "kind: turn\n")):
        (tmp_path / "sets" / f"{name}.yaml").write_text(text)

    def written(text: str):
        path = tmp_path / "try.yaml"
        path.write_text(HEAD + text)
        return path

    yield written
    simulate._try_voice.cache_clear()


def _told(path) -> str:
    with pytest.raises(ScriptError) as caught:
        check(load_scenario(path), path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("text", "message"), [
    ("user:\n  - {play: a.wav, when: {at_s: 1}}\n  - play: b.wav\n    when:\n      after: aa\n",
     "try.yaml:7: user[1].when.after: there is no turn 'aa'; did you mean 'a'?"),
    (ASK + "expect:\n  - silent: {from_s: 0, until: ask}\n  - silent:\n      since: aks\n",
     "try.yaml:9: expect[1].silent.since: there is no turn 'aks'; did you mean 'ask'?"),
    (ASK + "expect:\n  - answers: {to: '', within_s: 1}\n", "try.yaml:7: expect[0].answers.to: there is no turn ''"),
    (ASK + "  - play: b.wav\n    when: {after: c}\n  - play: c.wav\n    when: {after: d}\n  - play: d.wav\n"
     "    when: {after: c}\n", "try.yaml:9: user[2].when.after: turns wait for each other: c after d after c"),
    (ASK + "  - {play: b.wav, when: {after: b}}\n", "try.yaml:6: user[1].when.after: turns wait for each other"),
    (ASK + "  - play: b.wav\n    when:\n      at_s: 12\n", "try.yaml:8: user[1].when.at_s: the turn 'b' comes at 12"),
    (ASK + "  - play: b.wav\n    when: {at_s: [1, 30]}\n", "try.yaml:7: user[1].when.at_s: the turn 'b' may come at"),
    (ASK + "  - {play: b.wav, when: {after: ask, plus_s: 11}}\n",
     "try.yaml:6: user[1].when.plus_s: the turn 'b' comes at 12 s or later, after the end"),
    (ASK + "  - {play: b.wav, when: {start_speak: 1, plus_s: 99}}\n",
     "try.yaml:6: user[1].when.plus_s: the turn 'b' comes at 99 s or later, after the end"),
    ("user:\n  - {play: b.wav, when: {at_s: .nan}}\n", "try.yaml:4: user[0].when.at_s: must be finite"),
    ("user:\n  - {play: b.wav, when: {at_s: -1}}\n", "try.yaml:4: user[0].when.at_s: must not be negative"),
    (ASK + "    from_s: 2\n    to_s: 1\n", "try.yaml:7: user[0].to_s: a part from 2 to 1 s is no part"),
    (ASK + "expect:\n  - silent:\n      from_s: 14\n", "try.yaml:8: expect[0].silent.from_s: 14 s is after the end"),
    (ASK + "expect:\n  - silent: {from_s: 5, to_s: 4}\n", "try.yaml:7: expect[0].silent.to_s: a span from 5 to 4 s"),
    (ASK + "expect:\n  - answers: {to: ask, within_s: -1}\n", "try.yaml:7: expect[0].answers.within_s: must not be"),
    (ASK + "noise:\n  level_db: [-50, -60]\n", "try.yaml:7: noise.level_db: [-50.0, -60.0] is no range"),
    (ASK + "echo:\n  gain_db: -6\n  delay_ms: 9000\n", "try.yaml:8: echo.delay_ms: an echo has a delay"),
    (ASK + "repeat_s: 6\n  \n", None),
    ("repeat_s: 4\n" + ASK.replace("1.0", "5.0"), "try.yaml:6: user[0].when.at_s: the turn 'ask' comes at 13 s"),
    ("repeat_s: 4\n" + ASK + "  - {play: b.wav, name: ask_2, when: {at_s: 2}}\n",
     "try.yaml:7: user[1].name: a later round has a turn 'ask_2' too"),
    ("user: &all\n  - *all\n", "try.yaml:3: user[0]: an alias of what it stands in"),
    (ASK + "instructions: 2024-13-45\n", "try.yaml: not YAML"),
    (ASK + "variants: 20000\n", "try.yaml:6: variants: must be from 1 to 10000")])
def test_what_cannot_be_has_the_line_of_its_key(write, text, message):
    """References, times and circles had line 1; a copy of a later round after the end was a traceback."""
    if message is None:
        concrete(load_scenario(write(text)), 0)
        return
    assert _told(write(text)).startswith(message)


@pytest.mark.parametrize(("text", "message"), [
    ("user:\n  - when: {at_s: 1}\n    play: aks.wav\n",
     "try.yaml:5: user[0].play: no recording 'aks.wav'; did you mean 'ask.wav'?"),
    ("user:\n  - when: {at_s: 1}\n    pick: clacks\n",
     "try.yaml:5: user[0].pick: no set 'clacks'; did you mean 'clicks'?"),
    ("user:\n  - {pick: calls, when: {at_s: 1}}\n", "calls.yaml:4: files[1]: no recording 'asc.wav'; did you"),
    ("user:\n  - {pick: none, when: {at_s: 1}}\n", "none.yaml:1: the set is empty"),
    (ASK + "    room: aks.wav\n", "try.yaml:6: user[0].room: no recording 'aks.wav'; did you mean 'ask.wav'?"),
    (ASK + "noise:\n  file: aks.wav\n", "try.yaml:7: noise.file: no recording 'aks.wav'; did you mean 'ask.wav'?"),
    (ASK + "noise:\n  file: click.wav\n", "try.yaml:7: noise.file: a bed of 800 samples is too short"),
    (ASK + "noise:\n  pick: clicks\n", "try.yaml:7: noise.pick: a bed of 800 samples is too short"),
    (ASK + "noise:\n  pick: clacks\n", "try.yaml:7: noise.pick: no set 'clacks'; did you mean 'clicks'?"),
    (ASK + "noise: {pick: words}\n", "try.yaml:6: noise.pick: a bed is made of recordings, and the set 'words' has"),
    (ASK + "noise: {pick: clicks, file: ask.wav}\n", "try.yaml:6: noise.pick: a bed is made from a file or from a set"),
    (ASK + "echo:\n  gain_db: -6\n  delay_ms: 9\n  response: aks.wav\n",
     "try.yaml:9: echo.response: no recording 'aks.wav'; did you mean 'ask.wav'?"),
    (ASK + "echo: {gain_db: [-9, -6], delay_ms: 9, response: still.wav}\n", "try.yaml:6: echo.response: a silent resp"),
    ("user:\n  - {play: torn.wav, when: {at_s: 1}}\n", "try.yaml:4: user[0].play: torn.wav: the file is truncated"),
    (ASK + "    from_s: 0.6\n", "try.yaml:6: user[0].from_s: ask.wav has 0.60 s, so there is no part from 0.6"),
    (ASK + "    to_s: 0.7\n", "try.yaml:6: user[0].to_s: ask.wav has 0.60 s, so there is no part from 0 to 0.7 s"),
    ("user:\n  - pick: clicks\n    when: {at_s: 1}\n    to_s: 0.5\n", "try.yaml:6: user[0].to_s: click.wav has 0.05 s"),
    ("user:\n  - say: hello\n    when: {at_s: 1}\n    voice: unsen\n", "try.yaml:6: user[0].voice: no voice 'unsen'"),
    ("user:\n  - pick: words\n    when: {at_s: 1}\n    voice: bert:x\n", "try.yaml:6: user[0].voice: no voice 'bert:"),
    ("user:\n  - {pick: drinks, when: {at_s: 1}}\n", "try.yaml:4: user[0].pick: the set 'drinks' is not here"),
    (ASK + "noise: {pick: street}\n", "try.yaml:6: noise.pick: the set 'street' is not here: set OMNI_DATA_DIR")])
def test_what_is_missing_is_told_at_its_line_before_anything_runs(write, tmp_path, capsys, text, message):
    """The check looked at turns' own recordings only: the rest failed in the middle of a suite, and without a line."""
    path = write(text)
    assert _told(path).startswith(message)
    assert cli.main(["simulate", str(path), "--out", str(tmp_path / "out"), "--model", "no such model"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"omni simulate: {message}") and error.count("\n") == 1 and not (tmp_path / "out").exists()


def _data(folder):
    """A data folder as `omni.data.recordings` wants it: one order and one bark for development, one bed."""
    for name in ("an4", "alphanumeric", "phrases", "speech_commands", "read_sentences", "coffee_orders", "noise",
                 "sound_events/dog_bark"):
        (folder / name).mkdir(parents=True)
        (folder / name / "transcripts.csv").write_text("path,speaker,text\n")
    (folder / "coffee_orders" / "slots.json").write_text(json.dumps({"a.flac": {}}))
    (folder / "coffee_orders" / "voices.json").write_text(json.dumps({"a.flac": "voice08"}))
    for name in ("coffee_orders/a.flac", "noise/street.flac", "sound_events/dog_bark/a.ogg"):
        write_wav(folder / name, np.full(16_000, 0.1, np.float32), 16_000)


@pytest.mark.parametrize(("text", "message"), [
    ("user:\n  - {pick: drinks, when: {at_s: 1}}\n",
     "drinks.yaml:2: recordings: no 'coffee_order' below OMNI_DATA_DIR; did you mean 'coffee_orders'?"),
    ("user:\n  - {pick: barks, when: {at_s: 1}}\n",
     "barks.yaml:3: sounds[1]: no 'dog_park' below OMNI_DATA_DIR; did you mean 'dog_bark'?"),
    (ASK + "noise: {pick: street}\n",
     "street.yaml:2: beds[0]: no 'streat' below OMNI_DATA_DIR; did you mean 'street'?"),
    ("user:\n  - pick: orders\n    when: {at_s: 1}\n    to_s: 2\n", "try.yaml:6: user[0].to_s: a.flac has 1.00 s")])
def test_what_a_set_draws_from_is_looked_for(write, tmp_path, monkeypatch, text, message):
    _data(tmp_path / "data")
    monkeypatch.setenv("OMNI_DATA_DIR", str(tmp_path / "data"))
    assert _told(write(text)).startswith(message)
    (tmp_path / "data" / "coffee_orders" / "slots.json").unlink()
    if "drinks" in text:
        assert "the set 'drinks' is not here: OMNI_DATA_DIR holds no such recordings" in _told(write(text))


@pytest.mark.parametrize("text", ["  - say: hello\n    voice: 'espeak:en-us'\n    when: {at_s: 1}\n",
                                  "  - pick: words\n    voice: 'espeak:en-us'\n    when: {at_s: 1}\n"])
def test_a_synthesizer_that_is_not_there_is_told_before_anything_runs(write, monkeypatch, text):
    path = write("user:\n" + text)
    check(load_scenario(path), path)

    def speak(text, voice):
        raise OmniError("espeak-ng is not installed")

    simulate._try_voice.cache_clear()
    monkeypatch.setattr(simulate.voices, "speak", speak)
    assert _told(path) == "try.yaml:5: user[0].voice: espeak-ng is not installed"
    check_files(load_scenario(path), path)
    silent = write(ASK)
    check(load_scenario(silent), silent)


def test_every_voice_that_a_variant_draws_is_tried(write, monkeypatch):
    tried = []
    monkeypatch.setattr(simulate.voices, "speak", lambda text, voice: tried.append(voice))
    monkeypatch.setattr(simulate, "choose_voice", lambda name, seed: simulate.voices.Voice(
        *(("flite", f"v{seed % 3}") if name == "unseen" else name.split(":")), 100, 0))
    path = write("variants: 30\nuser:\n  - {say: hello, when: {at_s: 1}}\n  - {say: bye, when: {at_s: 3}}\n")
    check(load_scenario(path), path)
    assert sorted(voice.name for voice in tried) == ["v0", "v1", "v2"], "once each"
