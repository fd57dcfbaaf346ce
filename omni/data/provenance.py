"""Where a result comes from: the commit of the code and a hash of the data, to be kept beside it."""

import hashlib
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent


def commit() -> str | None:
    """The checkout's commit, with "+" behind it if files differ from it; None where there is no checkout."""
    def git(*args: str) -> str:
        return subprocess.run(["git", "-C", str(_ROOT), *args], capture_output=True, text=True, check=True).stdout

    try:
        return git("rev-parse", "HEAD").strip() + ("+" if git("status", "--porcelain", "-uno").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def data_hash(path: Path) -> str:
    """First 16 hex digits of the SHA-256 of a file, or of the names and contents of a folder's files.

    Sound is told by its size: what is said in it, by whom and where stands in the text beside it.

    Raises:
        OSError: there is nothing.
    """
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        digest.update(file.name.encode())
        if file.suffix == ".i16":
            digest.update(str(file.stat().st_size).encode())
        else:
            with open(file, "rb") as handle:
                while part := handle.read(1 << 20):
                    digest.update(part)
    return digest.hexdigest()[:16]
