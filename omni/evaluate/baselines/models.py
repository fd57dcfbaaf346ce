"""Networks that other people's packages bring along, run by onnxruntime on one thread; those packages stay unimported.

Importing silero_vad would load torch and change its threads, importing pipecat a web stack. Their files are enough.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from omni.base.errors import OmniError

BENCH = "pip install 'omni-duplex[bench]'"


@lru_cache(maxsize=4)
def load_session(package: str, file: str, install: str = BENCH):
    """A packaged network as an `onnxruntime.InferenceSession`; conversations share it, since it keeps no state.

    Args:
        package: the one that brings the file.
        file: path within the package.
        install: how a person gets the package.

    Raises:
        OmniError: onnxruntime, the package, or the file in it is missing.
    """
    found = find_spec(package)
    if found is None:
        raise OmniError(f"this baseline needs the model in {package}, which is not installed: {install}")
    path = Path(found.submodule_search_locations[0], file)
    if not path.is_file():
        raise OmniError(f"this baseline needs {path.name}, which the {package} installed here does not have: {install}")
    try:
        from onnxruntime import InferenceSession, SessionOptions
    except ImportError as error:
        raise OmniError(f"this baseline needs onnxruntime, which is not installed: {BENCH}") from error
    options = SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
