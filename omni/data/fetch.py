"""`omni data fetch`: bring the public recordings, lay them out as OMNI_DATA_DIR, and check that they are the ones.

    DIR/.fetch/ADDRESS.partial ──► DIR/.fetch/ADDRESS ──► DIR/an4/fash/an251-fash-b.flac ... ──► checked
          goes on where it stopped      an archive            16 kHz mono, whole or not there

Nothing of an archive is unpacked by its own paths: members are looked up by the names that our lists make, read into
memory and written under the list's. A source that is there and right is left alone, so Ctrl-C loses no finished file.
"""

import contextlib
import hashlib
import http.client
import io
import os
import sys
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile
from tqdm import tqdm

from omni import __version__
from omni.audio.files import replacing, to_int16, write_wav
from omni.audio.resampling import resample
from omni.base.errors import ConfigError, OmniError
from omni.data import sources
from omni.data.sources import RATE_HZ, Listed, Origin, Source

CHUNK = 1 << 18
TRIES, WAIT_S, TIMEOUT_S = 3, 2.0, 30.0  # WAIT_S before the second try, twice as long before the third
MOST_BYTES = 1 << 28  # of one file in an archive
_LOCAL = ("127.0.0.1", "localhost", "::1")


class FetchError(OmniError):
    """A source cannot be had: no network, an address that is gone, other content than it should be."""

    code = "fetch_failed"


class Gone(FetchError):
    """There is nothing at an address."""


# ---- the network ---------------------------------------------------------------------------------------------------


class Web:
    """Downloads over https, with a bar.

    Args:
        allow_http: also http, from this machine itself and from nowhere else.
    """

    def __init__(self, allow_http: bool = False):
        self.allow_http = allow_http
        self._opener = urllib.request.build_opener(_Redirects(self))

    def check(self, url: str) -> None:
        """Raise FetchError unless the address may be asked."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "https" or (self.allow_http and parts.scheme == "http" and parts.hostname in _LOCAL):
            return
        raise FetchError(f"{url}: only https is asked")

    def save(self, url: str, path: Path, sha256: str | None = None) -> None:
        """Download into `path`; what a broken connection left in `path`.partial is gone on with.

        Raises:
            FetchError: it cannot be had, or is not what `sha256` says (it is removed then).
        """
        partial = path.with_name(path.name + ".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        name = path.name.partition("-")[2][:40]
        with tqdm(unit="B", unit_scale=True, unit_divisor=1024, desc=name, leave=False) as bar:
            self._retrying(url, partial, bar)
        if sha256 is not None and _sha256(partial) != sha256:
            partial.unlink()
            raise FetchError(f"{url}: its SHA-256 is not {sha256[:16]}...; it is removed ({path.name})")
        partial.replace(path)

    def _retrying(self, url: str, partial: Path, bar: tqdm) -> None:
        tries, wait_s = 0, WAIT_S
        while True:
            before = partial.stat().st_size if partial.exists() else 0
            try:
                return self._once(url, partial, bar)
            except urllib.error.HTTPError as error:
                why = f"HTTP {error.code} {error.reason}"
                if error.code not in (408, 425, 429) and error.code < 500:
                    raise (Gone if error.code in (404, 410) else FetchError)(f"{url}: {why}") from error
                wait_s = max(wait_s, min(_seconds(error.headers.get("Retry-After")), 60.0))
            except urllib.error.URLError as error:
                why = str(error.reason)
            except (http.client.HTTPException, OSError) as error:
                why = str(error) or type(error).__name__
            now = partial.stat().st_size if partial.exists() else 0
            tries = 1 if now > before else tries + 1  # what moves on may break off as often as it likes
            if tries >= TRIES:
                raise FetchError(f"{url}: {why} (tried {TRIES} times; the same command goes on from {now} bytes)")
            time.sleep(wait_s)
            wait_s *= 2

    def _once(self, url: str, partial: Path, bar: tqdm) -> None:
        self.check(url)
        have = partial.stat().st_size if partial.exists() else 0
        headers = {"User-Agent": f"omni-duplex/{__version__}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            reply = self._opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not have:
                raise
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                return  # it was whole already
            partial.unlink()
            raise http.client.HTTPException("what was left of it does not fit") from error
        with reply:
            if have and not reply.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0  # the server begins anew
            left = reply.headers.get("Content-Length")
            bar.total = have + int(left) if left else None
            bar.reset(bar.total)
            bar.update(have)
            with open(partial, "ab" if have else "wb") as file:
                while part := reply.read(CHUNK):
                    file.write(part)
                    bar.update(len(part))
            if left and partial.stat().st_size < have + int(left):
                raise http.client.HTTPException("the connection broke off")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows only to addresses that may be asked."""

    def __init__(self, web: Web):
        self._web = web

    def redirect_request(self, request, file, code, message, headers, url):
        self._web.check(url)
        return super().redirect_request(request, file, code, message, headers, url)


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


# ---- what came -----------------------------------------------------------------------------------------------------


def members(archive: Path, wanted: set[str], strip: int) -> Iterator[tuple[str, bytes]]:
    """The wanted files of a .tar.gz with their content, in the archive's order.

    Args:
        wanted: paths after `strip` leading parts were dropped.

    Raises:
        FetchError: the archive is broken, or a member of it, wanted or not, would leave the folder it is unpacked in.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                target = name.parent / member.linkname if member.issym() else PurePosixPath(member.linkname)
                if _leaves(name) or ((member.issym() or member.islnk()) and _leaves(target)):
                    raise FetchError(f"{archive.name}: {member.name!r} would leave its folder; the archive is refused")
                path = "/".join(name.parts[strip:])
                if path not in wanted:
                    continue
                if not member.isfile() or member.size > MOST_BYTES:
                    raise FetchError(f"{archive.name}: {member.name!r} is no plain file of sound or text")
                yield path, tar.extractfile(member).read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise FetchError(f"{archive.name}: broken ({error})") from error


def _leaves(path: PurePosixPath) -> bool:
    """Whether a path leads out of the folder it is taken from."""
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 0 if part == "." else 1
        if depth < 0:
            return True
    return path.is_absolute() or "\\" in str(path) or path.as_posix()[1:2] == ":"


def speech(content: bytes) -> np.ndarray:
    """int16 (n,) at 16 kHz of a sound file: its very samples if 16-bit 16 kHz mono, else mixed and resampled."""
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        if (file.samplerate, file.channels, file.subtype) == (RATE_HZ, 1, "PCM_16"):
            return file.read(dtype="int16")
        samples = file.read(dtype="float32", always_2d=True).mean(1)
        return to_int16(resample(samples, file.samplerate, RATE_HZ))


def response(content: bytes) -> np.ndarray:
    """int16 (n,) at 16 kHz: the first channel of a room response, at most 2 s, its peak at 0.99."""
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        samples = resample(file.read(dtype="float32", always_2d=True)[:, 0], file.samplerate, RATE_HZ)[:2 * RATE_HZ]
    return to_int16(samples * (0.99 / max(float(np.abs(samples).max()), 1e-9)))


def responses(content: bytes) -> np.ndarray:
    """int16 (directions * ears, n): all responses of a SOFA file (AES69), each at full range.

    Raises:
        FetchError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise FetchError("SOFA files are HDF5: `pip install h5py`, then the same command again") from error
    with h5py.File(io.BytesIO(content)) as file:
        found = np.asarray(file["Data.IR"], np.float64)
    found = found.reshape(-1, found.shape[-1])
    return np.rint(found / np.abs(found).max(1, keepdims=True) * 32_767).astype(np.int16)


def store(source: Source, content: bytes, path: Path) -> None:
    """Write a file of a source as it lies in OMNI_DATA_DIR."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if source.form == "sofa":
        made = io.BytesIO()
        np.save(made, responses(content))
        return put(made.getvalue(), path)
    samples = speech(content) if source.form == "speech" else response(content)
    write_wav(path, samples.astype(np.float32) / 32_768, RATE_HZ)  # exact: FLAC of the same 16 bits, or Vorbis


def put(content: bytes, path: Path) -> None:
    """Write a file that is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


# ---- one source ----------------------------------------------------------------------------------------------------


class Fetcher:
    """Brings sources into one folder.

    Args:
        lists: folder of the lists; the project's own if None.
        accept: keep files that are not the ones.
    """

    def __init__(self, root: Path, web: Web, lists: Path | None = None, accept: bool = False):
        self.root, self.web, self.lists, self.accept = root, web, lists, accept

    def bring(self, source: Source) -> str:
        """Fetch what is missing of a source; gives a line that says what is there.

        Raises:
            FetchError: something could not be had, or is not what it should be (that is removed, and named).
        """
        entries = sources.listed(source, self.lists)
        if (found := self.check(source, entries)).whole:
            return found.told()
        lacking = set(found.missing) | set(found.wrong)
        files = {source.there(e.path): e.path + source.suffix for e in entries}
        files = {there: here for there, here in files.items() if here in lacking or "all files" in lacking}
        texts = {there: here for here, there in source.texts.items()}
        have = {name: self.root / source.folder / name for name in source.texts}
        kept = {name: path.read_bytes() for name, path in have.items() if path.exists()}
        for origin in source.origins:
            wanted = {there for there in files | texts if there in files or texts[there] not in kept}
            for there, content in self._from(origin, wanted, source.name):
                if there in texts:
                    kept[texts[there]] = content
                else:
                    try:
                        store(source, content, self.root / source.folder / files.pop(there))
                    except soundfile.SoundFileError as error:
                        raise FetchError(f"{there}: not a sound file that can be read") from error
        self._write_texts(source, entries, kept)
        if files:
            first = next(iter(files))
            raise FetchError(f"{len(files)} files are at none of the addresses, such as {first}")
        return self._verified(source, self.check(source, entries))

    def _from(self, origin: Origin, wanted: set[str], name: str) -> Iterator[tuple[str, bytes]]:
        if not wanted:
            return
        if origin.folder is not None:
            for there in sorted(wanted):
                path = self.cached(origin.folder + there)
                try:
                    self.web.save(origin.folder + urllib.parse.quote(there), path)
                except Gone:
                    continue  # perhaps the next origin has it
                yield there, path.read_bytes()
                path.unlink()
            return
        archive = self.cached(origin.archive)
        if not archive.exists():
            self.web.save(origin.archive, archive, origin.sha256)
        try:
            if origin.sha256 is None:  # nobody vouches for it: nothing is taken before all of it was looked at
                next(members(archive, set(), origin.strip), None)
            with tqdm(total=len(wanted), unit="file", desc=name, leave=False) as bar:
                for there, content in members(archive, wanted, origin.strip):
                    yield there, content
                    bar.update()
        except FetchError:
            archive.unlink(missing_ok=True)
            raise

    def cached(self, url: str) -> Path:
        """Where a download lies until it is used up."""
        name = urllib.parse.urlsplit(url).path.strip("/").rpartition("/")[2] or "file"
        return self.root / ".fetch" / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name[-60:]}"

    def used_up(self, source: Source, later: list[Source]) -> None:
        """Remove a source's archives that none of the later ones comes from."""
        needed = {o.archive for s in later for o in s.origins}
        for origin in source.origins:
            if origin.archive and origin.archive not in needed:
                self.cached(origin.archive).unlink(missing_ok=True)

    def distrust(self, source: Source) -> None:
        """Remove a source's archives that no checksum vouches for, so that the next time asks anew."""
        for origin in source.origins:
            if origin.archive and origin.sha256 is None:
                self.cached(origin.archive).unlink(missing_ok=True)

    def check(self, source: Source, entries: list[Listed]) -> sources.Found:
        """See `omni.data.sources.check`, with a bar."""
        with tqdm(total=len(entries), unit="file", desc=f"{source.name} (checking)", leave=False) as bar:
            return sources.check(source, entries, self.root, bar.update)

    def _write_texts(self, source: Source, entries: list[Listed], kept: dict[str, bytes]) -> None:
        folder = self.root / source.folder
        for name in source.texts:
            if name.startswith("LICENSE") and name not in kept:
                kept[name] = f"{source.licence}\n{source.attribution}\n{source.homepage}\n".encode()
        try:
            made = sources.labels(source, entries, kept)
        except (KeyError, ValueError) as error:
            raise FetchError(f"labels cannot be made from what came ({error!r})") from error
        kept.pop("label.json", None)  # those of all orders; ours are in slots.json
        for name, content in (kept | made).items():
            put(content, folder / name)

    def _verified(self, source: Source, found: sources.Found) -> str:
        if found.whole or self.accept:
            return found.told()
        bad = [n for n in found.wrong if (self.root / source.folder / n).exists()]
        for name in bad:
            (self.root / source.folder / name).unlink()
        raise FetchError(f"not what our models learned from: {found.told().partition(': ')[2]}; {len(bad)} files are "
                         "removed (--accept keeps them)")


def table(chosen: list[Source], lists: Path | None = None) -> str:
    """Sources with size, licence and address."""
    lines = []
    for s in chosen:
        known = [o.num_bytes for o in s.origins if o.num_bytes]
        size = f", download {known[0] / 1e9:.1f} GB" if known else ""
        lines.append(f"{s.name}: {s.about}\n    {len(sources.listed(s, lists))} files into {s.folder}/{size}\n"
                     f"    {s.licence}; {s.attribution}\n    {s.homepage}")
    return "\n".join(lines)


def main(args) -> int:
    """The command. Exit code 1: a source failed or is not whole (the others are done); 2: bad usage."""
    path = Path(args.sources) if args.sources else None
    lists = path.parent / "lists" if path else None
    chosen = sources.chosen(sources.load(path), args.only)
    if args.list:
        print(table(chosen, lists))
        return 0
    where = args.out or os.environ.get("OMNI_DATA_DIR")
    if not where:
        raise ConfigError("say where: --out DIR, or OMNI_DATA_DIR in the environment")
    root, failed = Path(where), 0
    if args.check and not root.is_dir():
        raise ConfigError(f"there is no folder {root}")
    fetcher = Fetcher(root, Web(args.allow_http), lists, args.accept)
    for i, source in enumerate(chosen):
        try:
            if args.check:
                found = fetcher.check(source, sources.listed(source, lists))
                failed += not found.whole
                print(found.told(), flush=True)
            else:
                print(fetcher.bring(source), flush=True)
                fetcher.used_up(source, chosen[i + 1:])
        except OSError as error:
            failed += 1
            print(f"omni data: {source.name}: {error.strerror or error}", file=sys.stderr)
        except OmniError as error:
            failed += 1
            fetcher.distrust(source)
            print(f"omni data: {source.name}: {error}", file=sys.stderr)
    with contextlib.suppress(OSError):  # not there, or it keeps what the next time goes on with
        (root / ".fetch").rmdir()
    return 1 if failed else 0
