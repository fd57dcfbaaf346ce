"""What is installed is what was written: page, protocol, configurations and weights travel in the wheel."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import omni

CHECKOUT = Path(__file__).resolve().parent.parent
INSTALLED = Path(omni.__file__).resolve().parent
EDITABLE = INSTALLED == CHECKOUT / "omni"
NOISE = {"__pycache__", ".DS_Store"}


def _expected() -> dict[str, Path]:
    """Path within the wheel -> file in the checkout."""
    found = {}
    for folder, target in (("omni", "omni"), ("client", "omni/_data/client"), ("protocol", "omni/_data/protocol"),
                           ("configs", "omni/_data/configs")):
        for path in sorted((CHECKOUT / folder).rglob("*")):
            if path.is_file() and not NOISE & set(path.parts) and path.suffix not in (".pyc", ".tmp"):
                found[f"{target}/{path.relative_to(CHECKOUT / folder).as_posix()}"] = path
    return found


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> dict[str, bytes]:
    """Everything below omni/ that the wheel brings: of the installed one, or of one built now."""
    if not EDITABLE:
        site = INSTALLED.parent
        return {p.relative_to(site).as_posix(): p.read_bytes() for p in INSTALLED.rglob("*")
                if p.is_file() and not NOISE & set(p.parts) and p.suffix != ".pyc"}
    pytest.importorskip("hatchling", reason="an editable install, and no hatchling to build a wheel with")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=CHECKOUT,
                   check=True, capture_output=True, timeout=100)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist() if name.startswith("omni/")}


def test_the_wheel_holds_every_file_as_it_is_in_the_checkout(packed):
    expected = _expected()
    assert not sorted(expected.keys() - packed.keys()), "missing from the wheel"
    assert not sorted(packed.keys() - expected.keys()), "in the wheel and nowhere else"
    changed = [name for name, path in expected.items() if packed[name] != path.read_bytes()]
    assert not changed, "the installation is older than the checkout; install again"


def test_page_protocol_and_configs_are_among_them(packed):
    for name in ("client/index.html", "protocol/README.md", "configs/serve/default.yaml"):
        assert f"omni/_data/{name}" in packed, name
    assert sum(n.startswith("omni/_data/protocol/vectors/valid/") for n in packed) > 20
    assert sum(n.startswith("omni/_data/client/") and n.endswith(".js") for n in packed) > 5


def test_the_model_ships_within_32_mebibytes(packed):
    model = {n: len(b) for n, b in packed.items() if n.startswith("omni/weights/tiny/")}
    assert {n.rsplit("/", 1)[1] for n in model} >= {"model.safetensors", "config.yaml", "pieces.json", "README.md"}
    assert sum(model.values()) <= 32 << 20
    assert not [n for n in packed if n.endswith((".pt", ".pth", ".pkl", ".bin", ".ckpt"))], "safetensors only"


@pytest.mark.parametrize("layout", ["installed", "checkout"])
def test_files_are_found_from_anywhere(tmp_path, layout):
    """Installed from a wheel they lie in omni/_data; in a checkout (an editable install) beside the package."""
    script = """
import json, sys
from omni.base.config import data_path
print(json.dumps({f: str(data_path(f)) for f in ("client", "protocol", "configs")}))
assert data_path("client", "index.html").is_file() and data_path("protocol", "README.md").is_file()
"""
    environment = {**os.environ}
    if layout == "checkout":
        environment["PYTHONPATH"] = str(CHECKOUT)
    else:
        environment.pop("PYTHONPATH", None)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    root = CHECKOUT if layout == "checkout" or EDITABLE else INSTALLED / "_data"
    assert {k: Path(v) for k, v in json.loads(done.stdout).items()} == {
        k: root / k for k in ("client", "protocol", "configs")}


def test_metadata_agrees_with_the_project_file():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    metadata = importlib.metadata.metadata("omni-duplex")
    assert metadata["Version"] == project["version"] == omni.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    command = next(e for e in importlib.metadata.entry_points(group="console_scripts") if e.name == "omni")
    assert command.value == "omni.cli:main" and callable(command.load())


def test_the_command_starts_and_names_what_it_can_do(tmp_path):
    done = subprocess.run([sys.executable, "-m", "omni", "--help"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stderr == ""
    for command in ("serve", "talk", "converse", "simulate"):
        assert command in done.stdout
