"""The project's own configurations fit each other and the weights that are shipped, whatever those learned to read.

Nothing is trained: a stage is run as far as its loop.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.torch import save_file

from omni.base.config import data_path, to_plain
from omni.cli import _add_train
from omni.data import bank, skills
from omni.model import weights
from omni.model.captions import CAPTIONS_FILE
from omni.model.duplex import DuplexConfig
from omni.model.mouth import Mouth
from omni.model.tokens import Pieces
from omni.train import growing, loop, stages, voice

FOLDER = data_path("configs", "train")
NAMES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))
SHIPPED = {path.parent.name for path in Path(weights.__file__).parent.parent.glob("weights/*/config.yaml")}
GO_ON = [name for name in NAMES if yaml.safe_load((FOLDER / f"{name}.yaml").read_text()).get("init") in SHIPPED]


class Reached(Exception):
    """All that comes before the loop is done."""


@pytest.fixture
def before_the_loop(tmp_path, monkeypatch):
    """A folder with a bank of two utterances, and the shipped ears and voice, under whatever names a stage has for
    them; runs a stage there as far as its loop."""
    from omni.train import ears, reconnect

    monkeypatch.chdir(tmp_path)

    def reached(*args, **settings):
        raise Reached

    monkeypatch.setattr(loop, "run", reached)
    monkeypatch.setattr(reconnect, "validator", lambda stream: None)
    monkeypatch.setattr(ears, "Scores", lambda *args, **settings: None)

    def run(name: str) -> None:
        module, config = stages.load_stage(name, [])
        if getattr(config, "fuse", False):
            config = replace(config, fuse=False)  # a compiler is nothing to wait for here
        _provide(config)
        with pytest.raises(Reached):
            module.train(config)

    return run


def _provide(config) -> None:
    shipped = weights.load_model(config.init)
    if folder := getattr(config, "bank", None):
        Path(folder).mkdir(parents=True)
        (np.arange(32_000) % 99).astype(np.int16).tofile(Path(folder) / bank.AUDIO)
        lines = [{"start": at, "count": 16_000, "text": text, "reply": "", "skill": "words", "source": "espeak:a",
                  "dev": False, "facts": {}, "phones": [["e:a", 0, 16_000]]}
                 for at, text in ((0, "a large latte"), (16_000, "seven times nine"))]
        (Path(folder) / bank.LINES).write_text("".join(json.dumps(line) + "\n" for line in lines))
    if (ears := getattr(config, "ears", None)) and ears not in SHIPPED:
        Path(ears).mkdir(parents=True)
        save_file({f"encoder.{n}": t for n, t in shipped.encoder.state_dict().items()},
                  Path(ears) / "model.safetensors")
        (Path(ears) / "config.yaml").write_text(yaml.safe_dump({"encoder": to_plain(shipped.config.encoder)}))
        shipped.vocabulary.save(Path(ears) / CAPTIONS_FILE)
    if spoken := getattr(config, "voice", None):
        pieces = Pieces(skills.vocabulary())
        mouth = Mouth(shipped.config.mouth, len(pieces))
        voice._take(mouth, weights.folder_of(config.init), pieces)
        Path(spoken).mkdir(parents=True)
        save_file({f"mouth.{n}": t.contiguous() for n, t in mouth.state_dict().items()},
                  Path(spoken) / "model.safetensors")
    if lessons := getattr(config, "lessons", None):
        Path(lessons).parent.mkdir(parents=True, exist_ok=True)
        np.savez(lessons, tokens=[9, 10], counts=[1, 1], phones=[3, 4])


@pytest.mark.parametrize("name", GO_ON)
def test_what_goes_on_from_shipped_weights_takes_them(before_the_loop, name, monkeypatch):
    """Regression: the shipped mind had learned to read sounds, and the word at which it was cut; two configurations did
    not say so, and ended with "tensor model.cut_in.weight is not both in tiny and in the model"."""
    taken, whole = [], growing.take_all

    def take_all(lesson, folder, leave):
        taken.append(folder)
        whole(lesson, folder, leave)

    for module in (stages.importlib.import_module(f"omni.train.{m}") for m in ("words", "duplex")):
        monkeypatch.setattr(module, "take_all", take_all)
    before_the_loop(name)
    kind = stages.load_stage(name, [])[1].stage
    assert len(taken) == (kind in ("words", "duplex")), "the whole mind goes on"


def _reads(name: str) -> dict[str, float]:
    """What the mind of a configuration reads beside its ears' frames."""
    config = stages.load_stage(name, [])[1]
    model = getattr(config, "model", None)
    if model is None:  # that of the weights whose ears are exchanged
        model = stages.base_config.load(DuplexConfig, weights.folder_of(config.init) / "config.yaml")
    return {key: float(getattr(model, key)) for key in ("read_pieces", "read_sounds", "read_cut", "sounds_kept_s")}


def test_a_mind_that_goes_on_reads_what_it_has_read():
    """What it has learned to read is in no model that does not read it: such a run ends before it begins."""
    loaded = {name: stages.load_stage(name, [])[1] for name in NAMES}
    minds = {config.out: name for name, config in loaded.items() if config.stage in ("words", "duplex", "reconnect")}
    links = [(minds[str(path)], name) for name in minds.values() for source in stages.taken(loaded[name])
             for path in (source, source.parent) if str(path) in minds]
    assert ("tiny/words_world", "tiny/duplex_world") in links and ("tiny/connect", "tiny/duplex") in links
    for before, after in links:
        reads = _reads(after)
        assert all(reads[key] >= value for key, value in _reads(before).items()), (before, after)


def test_help_names_every_configuration():
    parser = argparse.ArgumentParser()
    _add_train(parser.add_subparsers())
    told = parser._subparsers._group_actions[0].choices["train"].format_help()
    for name in NAMES:
        group, _, last = name.rpartition("/")
        assert name in told or f"{group}/NAME" in told and last in told.split(f"{group}/NAME")[1], name
    assert max(map(len, told.splitlines())) <= 120
