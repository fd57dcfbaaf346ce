"""Imports point one way, and heavy or impure libraries live where they belong. Read from the source, nothing is run."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

import omni

ROOT = Path(omni.__file__).resolve().parent
MODULES = sorted(p for p in ROOT.rglob("*.py") if "_data" not in p.parts)

# Which packages each may import, itself aside:
#     base <- audio <- wire <- session <- transport <- serve <- cli
#     base <- nn <- model <- engine <- serve <- cli
#     base, audio, model <- data <- train <- cli            (train may use engine for rollouts)
#     session, engine, data, transport, wire <- evaluate <- cli
MAY = {
    "base": set(),
    "audio": {"base"},
    "wire": {"base", "audio"},
    "session": {"base", "audio", "wire"},
    "transport": {"base", "audio", "wire", "session"},
    "nn": {"base"},
    "model": {"base", "nn"},
    "engine": {"base", "nn", "model"},
    "serve": {"base", "audio", "wire", "session", "transport", "nn", "model", "engine"},
    "data": {"base", "audio", "nn", "model"},
    "train": {"base", "audio", "nn", "model", "data", "engine"},
    "evaluate": {"base", "audio", "wire", "session", "transport", "nn", "model", "engine", "data"},
    "weights": set(),
}
TOP = {"cli", "__main__", "__init__"}  # may import every package

# library -> where it may be imported: a package, or a module of one
PLACES = {
    "torch": {"nn", "model", "engine/runner", "data", "train", "evaluate"},
    "transformers": {"model", "evaluate/baselines/smart_turn"},
    "onnxruntime": {"evaluate/baselines/models", "data/piper"},     # never where something serves
    "silero_vad": {"evaluate/fdb/detector"},
    "pesq": {"evaluate/senses/vocoder"},
    "pystoi": {"evaluate/senses/vocoder"},
    "pipecat": set(),                       # only a file of its package is read
    "peft": {"model", "train"},
    "safetensors": {"model", "train"},
    # shells only; within evaluate that is the runner against a live server
    "asyncio": {"session/session", "engine/worker", "transport", "serve", "evaluate/live", "cli"},
    "aiohttp": {"transport", "serve"},
    "aiortc": {"transport"},
    "websockets": {"transport"},
    "sounddevice": {"transport"},
    "msgspec": {"wire", "serve"},
    "subprocess": {"data"},  # synthetic users, in training only: nothing that serves starts a program
    "pickle": set(),
    "random": {"data", "train", "transport", "evaluate"},  # a conversation's chance is its own generator's
}
# opened with a device, so imported when a device is opened; a machine without PortAudio runs everything else
LATE = {"sounddevice", "onnxruntime", "silero_vad"}


def _where(path: Path) -> tuple[str, str]:
    """A module's package (or its own name at the top), and package/module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0], "/".join(parts)


@functools.cache
def _imports(path: Path) -> list[tuple[int, str, bool]]:
    """(line, dotted name, whether it happens when the module is imported) of every import, also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for n in ast.walk(f)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import hides its direction"
            names = [node.module or ""]
            if node.module == "omni":
                names = [f"omni.{alias.name}" for alias in node.names]
        else:
            continue
        found.extend((node.lineno, name, id(node) not in late) for name in names)
    return found


def test_every_package_is_named_here():
    packages = {p.relative_to(ROOT).parts[0] for p in MODULES if len(p.relative_to(ROOT).parts) > 1}
    assert packages <= set(MAY), f"give {packages - set(MAY)} a place in the order"
    assert {p.stem for p in ROOT.glob("*.py")} <= TOP


def test_the_order_has_no_cycle():
    done: set[str] = set()
    while len(done) < len(MAY):
        free = {name for name, needs in MAY.items() if name not in done and needs <= done}
        assert free, f"a cycle among {set(MAY) - done}"
        done |= free


def test_imports_point_one_way():
    wrong = []
    for path in MODULES:
        package, module = _where(path)
        for line, name, _ in _imports(path):
            if name == "omni" or not name.startswith("omni.") or package in TOP:
                continue
            target = name.split(".")[1]
            if target in MAY and target != package and target not in MAY[package]:
                wrong.append(f"omni/{module}.py:{line} imports {name}")
    assert not wrong, "\n" + "\n".join(wrong)
    ports = next(p for p in MODULES if _where(p)[1] == "base/ports")
    assert {name.split(".")[0] for _, name, _ in _imports(ports)} <= {"typing", "omni", "collections"}


@pytest.mark.parametrize("library", PLACES)
def test_a_library_lives_where_it_belongs(library):
    wrong = []
    for path in MODULES:
        package, module = _where(path)
        wrong.extend(f"omni/{module}.py:{line}" for line, name, _ in _imports(path)
                     if name.split(".")[0] == library and not {package, module} & PLACES[library])
    assert not wrong, f"{library} in " + ", ".join(wrong)


@pytest.mark.parametrize("library", sorted(LATE))
def test_a_hardware_library_is_imported_when_a_device_is_opened(library):
    early = [f"{path.name}:{line}" for path in MODULES for line, name, at_import in _imports(path)
             if name.split(".")[0] == library and at_import]
    assert not early, early


def test_a_session_runs_without_torch_and_a_transport_without_hardware(tmp_path):
    """What the source says, seen in a fresh interpreter: nothing comes in through the back door."""
    script = """
import importlib, pkgutil, sys
def load(*packages):
    for package in packages:
        module = importlib.import_module("omni." + package)
        for found in pkgutil.iter_modules(module.__path__, module.__name__ + "."):
            importlib.import_module(found.name)
load("base", "audio", "wire", "session")
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"torch", "transformers", "aiohttp", "aiortc", "sounddevice", "matplotlib"}, loaded
load("transport")
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"torch", "transformers", "sounddevice", "matplotlib"}, loaded
import omni.cli
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stderr
