"""Scripts: strict, and their errors name file, line and the nearest valid key."""

from dataclasses import replace

import pytest

from omni.base.config import data_path, fingerprint, to_plain
from omni.base.errors import ScriptError
from omni.evaluate.scenario import Turn, When
from omni.evaluate.scripts import concrete, load_scenario, resolve_recording, resolve_script

GOOD = """\
title: A try
length_s: 10
user:
  - play: story.flac
    when: {at_s: 1.0}
  - play: stop.flac
    gain_db: 3
    when: {start_speak: 1, plus_s: 0.8}
expect:
  - yields: {to: stop, within_s: 1.0}
"""


def _load(tmp_path, text):
    path = tmp_path / "try.yaml"
    path.write_text(text)
    return load_scenario(path)


def test_a_script_reads_as_written(tmp_path):
    scenario = _load(tmp_path, GOOD)
    assert scenario.user[1] == Turn(play="stop.flac", name="stop", gain_db=3.0, when=When(start_speak=1, plus_s=0.8))
    assert scenario.expect[0].kind == "yields" and scenario.echo is None and scenario.noise.level_db == -65.0


@pytest.mark.parametrize(("old", "new", "message"), [
    ("gain_db: 3", "gain_dB: 3", "try.yaml:7: user[1]: unknown key 'gain_dB'; did you mean 'gain_db'?"),
    ("plus_s: 0.8", "plus: 0.8", "try.yaml:8: user[1].when: unknown key 'plus'; did you mean 'plus_s'?"),
    ("length_s: 10", "length_s: ten", "try.yaml:2: length_s: expected float, got 'ten'"),
    ("yields:", "yield:", "try.yaml:10: expect[0]: unknown key 'yield'; did you mean 'yields'?"),
    ("to: stop", "to: stopp", "try.yaml:10: expect[0].yields.to: there is no turn 'stopp'; did you mean 'stop'?"),
    ("{at_s: 1.0}", "{at_s: 1.0, word: 2}", "try.yaml:5: user[0].when: give exactly one of"),
    ("{at_s: 1.0}", "{}", "try.yaml:5: user[0].when: give exactly one of"),
    ("{at_s: 1.0}", "{word: 0}", "try.yaml:5: user[0].when.word: counts from 1"),
    ("gain_db: 3", "play: again.flac", "try.yaml:7: 'play' is there twice"),
    ("length_s: 10\n", "", "try.yaml:1: missing key 'length_s'"),
    ("user:", "user: [", "try.yaml:4: not YAML"),
    ("{at_s: 1.0}", "{after: stop}\n  - {play: b.flac, name: c, when: {at_s: 99}}",
     "try.yaml:6: user[1].when.at_s: the turn 'c' comes at 99 s, after the end"),
    ("{start_speak: 1, plus_s: 0.8}", "{after: third}\n  - {play: third.flac, when: {after: stop}}",
     "try.yaml:8: user[1].when.after: turns wait for each other: stop after third after stop"),
    ("gain_db: 3", "gain_db: [3, -3]", "try.yaml:7: user[1].gain_db: [3.0, -3.0] is no range from low to high"),
    ("gain_db: 3", "kind: stopp", "try.yaml:7: user[1].kind: 'stopp' is not allowed; did you mean 'stop'?"),
    ("play: stop.flac", "play: stop.flac\n    say: stop", "try.yaml:6: user[1]: give exactly one of play, say, pick"),
    ("length_s: 10", "length_s: 10\nvariants: 0", "try.yaml:3: variants: must be from 1 to 10000"),
    ("gain_db: 3", "name: story", "try.yaml:7: user[1].name: two turns are called 'story'")])
def test_errors_name_the_line_and_the_nearest_key(tmp_path, old, new, message):
    with pytest.raises(ScriptError) as caught:
        _load(tmp_path, GOOD.replace(old, new, 1))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_variant_has_numbers_for_ranges_and_the_rest_unchanged(tmp_path):
    scenario = _load(tmp_path, GOOD.replace("gain_db: 3", "gain_db: [-6, 3]").replace("length_s: 10", "length_s: 10\n"
                                                                                    "variants: 50"))
    gains = [concrete(scenario, i).user[1].gain_db for i in range(50)]
    assert len(set(gains)) == 50 and min(gains) >= -6 and max(gains) <= 3 and max(gains) - min(gains) > 6
    one = concrete(scenario, 7)
    assert one == concrete(scenario, 7) and one.seed != concrete(scenario, 8).seed and one.variants == 1
    other = concrete(replace(scenario, title="Something else"), 7)
    assert other.seed != one.seed and other.user[1].gain_db != one.user[1].gain_db
    assert one.user[0] == scenario.user[0] and one.expect == scenario.expect
    alone = _load(tmp_path, GOOD)
    assert concrete(alone, 0) == alone


def test_the_commands_seed_draws_anew_and_none_draws_as_ever(tmp_path):
    """The stimuli did not know of --seed: another one repeated the same conversations."""
    scenario = _load(tmp_path, GOOD.replace("gain_db: 3", "gain_db: [-6, 3]").replace("length_s: 10", "length_s: 10\n"
                                                                                    "variants: 50"))
    one, other = concrete(scenario, 7), concrete(scenario, 7, seed=1)
    assert (one.seed, one.user[1].gain_db) == (1843286336, 1.7091601549319853), "measured numbers are of these draws"
    assert "draw_seed" not in to_plain(one) and concrete(scenario, 7, seed=0) == one
    assert other.seed != one.seed and other.user[1].gain_db != one.user[1].gain_db
    assert other == concrete(scenario, 7, seed=1) and fingerprint(other) != fingerprint(one)
    drawn = [concrete(scenario, i, seed).seed for seed in range(3) for i in range(50)]
    assert len(set(drawn)) == 150
    alone = _load(tmp_path, GOOD)
    assert concrete(alone, 0, seed=1).seed != alone.seed
    assert len({concrete(alone, i).seed for i in range(3)}) == 3, "and so does a variant beyond the script's own"


def test_empty_and_unreadable_scripts_are_refused(tmp_path):
    with pytest.raises(ScriptError, match="try.yaml:1"):
        _load(tmp_path, "")
    with pytest.raises(ScriptError, match="cannot be read"):
        load_scenario(tmp_path / "absent.yaml")


def test_scripts_and_recordings_are_found_by_name_and_missed_with_a_hint(tmp_path):
    script = resolve_script("barge_in")
    assert script == resolve_script("barge_in.yaml")
    assert resolve_recording("stop.flac", script).is_file()
    (tmp_path / "stop.flac").write_bytes(b"mine")
    assert resolve_recording("stop.flac", tmp_path / "my.yaml") == tmp_path / "stop.flac"
    with pytest.raises(ScriptError, match="did you mean 'barge_in'"):
        resolve_script("bargein")
    with pytest.raises(ScriptError, match="did you mean 'stop.flac'"):
        resolve_recording("stopp.flac", script)


def test_the_projects_scripts_are_valid_and_their_recordings_are_there():
    scripts = sorted(data_path("configs", "evaluate", "scripts").glob("*.yaml"))
    assert {p.stem for p in scripts} >= {"turn", "pause", "barge_in", "backchannel", "echo"}
    for script in scripts:
        scenario = load_scenario(script)
        assert scenario.expect
        for turn in scenario.user:
            resolve_recording(turn.play, script)
