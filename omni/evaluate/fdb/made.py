"""Which model made which outputs: a file beside the tasks, so that folders which public scripts read hold nothing new.

    ROOT/[v1_0/]fdb_outputs.json   {"candor_turn_taking/7/output": "WEIGHTS CONFIG seed 0", ...}
"""

from collections.abc import Sequence
from pathlib import Path

from omni.base.errors import MediaError
from omni.evaluate.fdb.layout import Sample, read_json, write_json

FILE = "fdb_outputs.json"
Job = tuple[Sample, str]        # and the prefix of its recording


class Made:
    """What one model has made; an output that no file names was made by an unknown one.

    Args:
        samples: all that may be asked for. It does not matter from which root they were found.
        model: all that outputs depend on: weights, configuration, seed.

    Raises:
        MediaError: a file is there and is not one of these.
    """

    def __init__(self, samples: Sequence[Sample], model: str):
        self._model = model
        self._models: dict[Path, dict[str, str]] = {}
        for place in {_place(sample) for sample in samples}:
            found = read_json(place) if place.exists() else {}
            if not isinstance(found, dict):
                raise MediaError(f"{FILE}: wants the model of every output")
            self._models[place] = found

    def has(self, sample: Sample, prefix: str) -> bool:
        """Whether this model made it."""
        return self._models[_place(sample)].get(_name(sample, prefix)) == self._model

    def forget(self, jobs: Sequence[Job]) -> None:
        """They are about to be made anew: until `add`, nobody has made them."""
        for sample, prefix in jobs:
            self._models[_place(sample)].pop(_name(sample, prefix), None)
        self._write(jobs)

    def add(self, jobs: Sequence[Job]) -> None:
        """This model's outputs lie there whole."""
        for sample, prefix in jobs:
            self._models[_place(sample)][_name(sample, prefix)] = self._model
        self._write(jobs)

    def _write(self, jobs: Sequence[Job]) -> None:
        for place in {_place(sample) for sample, _ in jobs}:
            write_json(place, self._models[place])


def _place(sample: Sample) -> Path:
    return sample.folder.parents[1] / FILE


def _name(sample: Sample, prefix: str) -> str:
    return f"{sample.name}/{prefix}output"
