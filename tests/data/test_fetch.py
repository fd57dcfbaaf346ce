"""`omni data fetch` against a server of this machine: whole, broken off, tampered with, hostile."""

import http.server
import io
import json
import re
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from omni.base import config
from omni.cli import main
from omni.data import fetch, recordings, sources
from omni.data.fetch import FetchError


class Site:
    """Pages by path, and what was asked for. A page in `cut` is sent up to so many bytes from where it is asked for."""

    def __init__(self):
        self.pages: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.moved: dict[str, str] = {}
        self.asked: list[tuple[str, str | None]] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                span = self.headers.get("Range")
                site.asked.append((self.path, span))
                if self.path in site.moved:
                    self.send_response(302)
                    self.send_header("Location", site.moved[self.path])
                    self.end_headers()
                    return
                if self.path not in site.pages:
                    self.send_error(404)
                    return
                page, first = site.pages[self.path], int(span[6:-1]) if span else 0
                if first >= len(page):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(page)}")
                    self.end_headers()
                    return
                self.send_response(206 if span else 200)
                if span:
                    self.send_header("Content-Range", f"bytes {first}-{len(page) - 1}/{len(page)}")
                self.send_header("Content-Length", str(len(page) - first))
                self.end_headers()
                self.wfile.write(page[first:first + site.cut.get(self.path, len(page))])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(fetch, "WAIT_S", 0.0)
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


def _wav(samples: np.ndarray, rate_hz: int = 16_000) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, format="WAV", subtype="PCM_16")
    return out.getvalue()


def _tar(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return out.getvalue()


def _noise(seed: int, count: int = 4_000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-20_000, 20_000, count).astype(np.int16)


WORDS = {"ann/one": _noise(1), "ann/two": _noise(2), "bob/one": _noise(3)}


def _total(files: dict[str, np.ndarray]) -> str:
    digest = fetch.hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path}.flac".encode() + b"\0" + files[path].astype("<i2").tobytes())
    return digest.hexdigest()


@pytest.fixture
def world(site, tmp_path):
    """Two sources on the site: words in an archive, and rooms of another rate file by file; gives arguments."""
    site.pages["/words"] = _tar({"repo-1/LICENSE": b"be kind", "repo-1/etc/more.wav": b"not asked for",
                                 **{f"repo-1/wav/{path}.wav": _wav(x) for path, x in WORDS.items()}})
    site.pages["/rooms/far%20hall.wav"] = _wav(np.stack([_noise(4, 132_300)] * 2, 1), 44_100)
    lists = tmp_path / "site" / "lists"
    lists.mkdir(parents=True)
    (lists / "words.csv").write_text("path,text,mark\n" + "".join(
        f"{path},{path[4:].upper()},{sources.mark(x)}\n" for path, x in WORDS.items()))
    (lists / "halls.csv").write_text("path,samples\nfar hall,32000\n")
    common = {"about": "x", "licence": "CC0", "attribution": "nobody", "homepage": "https://example.org"}
    found = [{"name": "words", "origins": [{"archive": f"{site.url}/words"}], "upstream": "wav/{path}.wav",
              "speaker": "folder", "texts": {"LICENSE": "LICENSE"}, "sha256": _total(WORDS), **common},
             {"name": "halls", "into": "rooms", "origins": [{"folder": f"{site.url}/rooms/"}], "labels": "none",
              "form": "response", **common}]

    def write(change=lambda found: None) -> list[str]:
        change(found)
        (tmp_path / "site" / "sources.yaml").write_text(yaml.safe_dump({"sources": found}))
        return ["data", "fetch", "--sources", str(tmp_path / "site" / "sources.yaml"), "--out", str(tmp_path / "out"),
                "--allow-http"]

    return write


def test_what_comes_lies_as_training_expects_it(world, site, tmp_path, capsys):
    assert main(world()) == 0
    out = tmp_path / "out"
    for path, x in WORDS.items():
        samples, rate = soundfile.read(out / "words" / f"{path}.flac", dtype="int16")
        assert rate == 16_000 and (samples == x).all()
    assert (out / "words" / "LICENSE").read_text() == "be kind"
    assert (out / "words" / "transcripts.csv").read_text().split() == [
        "path,speaker,text", "ann/one.flac,ann,ONE", "ann/two.flac,ann,TWO", "bob/one.flac,bob,ONE"]
    hall, rate = soundfile.read(out / "rooms" / "far hall.flac")
    assert hall.shape == (32_000,) and rate == 16_000 and np.abs(hall).max() == pytest.approx(0.99, abs=1e-3)
    assert sorted(p.name for p in out.iterdir()) == ["rooms", "words"], "nothing else is left"
    assert "the very samples" in (told := capsys.readouterr().out) and "halls: 1 files" in told
    asked = len(site.asked)
    assert main(world()) == 0 and len(site.asked) == asked, "what is there is not fetched again"
    site.server.shutdown()
    assert main([*world(), "--check"]) == 0, "checking needs no network"


def test_a_broken_download_goes_on_where_it_stopped(world, site, tmp_path):
    size = len(site.pages["/words"])
    site.cut["/words"] = size // 3 + 1
    assert main([*world(), "--only", "words"]) == 0
    assert [span for _, span in site.asked] == [None, f"bytes={size // 3 + 1}-", f"bytes={2 * (size // 3 + 1)}-"]


def test_a_download_that_fails_is_kept_for_the_next_time(world, site, tmp_path, capsys):
    page = site.pages.pop("/words")
    site.pages["/words"], site.cut["/words"] = page, 0
    partial = fetch.Fetcher(tmp_path / "out", fetch.Web()).cached(f"{site.url}/words")
    partial = partial.with_name(partial.name + ".partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(page[:5_000])
    assert main([*world(), "--only", "words"]) == 1
    assert "tried 3 times" in (told := capsys.readouterr().err) and "from 5000 bytes" in told
    del site.cut["/words"]
    site.asked.clear()
    assert main([*world(), "--only", "words"]) == 0
    assert site.asked == [("/words", "bytes=5000-")]


def test_a_download_that_was_whole_is_not_begun_again(site, tmp_path):
    site.pages["/a"] = b"12345"
    (tmp_path / "a.partial").write_bytes(b"12345")
    fetch.Web(True).save(f"{site.url}/a", tmp_path / "a", fetch.hashlib.sha256(b"12345").hexdigest())
    assert (tmp_path / "a").read_bytes() == b"12345" and len(site.asked) == 1
    (tmp_path / "b.partial").write_bytes(b"1234567")
    site.pages["/b"] = b"12345"
    fetch.Web(True).save(f"{site.url}/b", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"12345", "what is longer than the page is no part of it"


def test_an_archive_with_another_checksum_is_removed_and_named(world, site, tmp_path, capsys):
    args = world(lambda found: found[0]["origins"][0].update(sha256="0" * 64))
    assert main(args) == 1
    told = capsys.readouterr()
    assert "SHA-256" in told.err and "-words)" in told.err
    assert "halls: 1 files" in told.out, "the other source is done"
    assert not (tmp_path / "out" / "words").exists() and not (tmp_path / "out" / ".fetch").exists()


def test_other_samples_are_removed_and_named(world, site, tmp_path, capsys):
    changed = WORDS | {"ann/two": _noise(9)}
    site.pages["/words"] = _tar({f"repo-1/wav/{path}.wav": _wav(x) for path, x in changed.items()})
    assert main([*world(), "--only", "words"]) == 1
    out = tmp_path / "out" / "words"
    assert "ann/two.flac: other samples" in capsys.readouterr().err and not (out / "ann" / "two.flac").exists()
    assert (out / "ann" / "one.flac").exists() and (out / "LICENSE").read_text().startswith("CC0")
    assert main([*world(), "--check", "--only", "words"]) == 1
    assert "ann/two.flac: missing" in capsys.readouterr().out
    assert main([*world(), "--only", "words", "--accept"]) == 0 and (out / "ann" / "two.flac").exists()


@pytest.mark.parametrize("files, links", [
    ({"repo-1/../../evil.wav": b"x"}, {}), ({"/tmp/evil.wav": b"x"}, {}), ({"repo-1\\..\\..\\evil.wav": b"x"}, {}),
    ({}, {"repo-1/wav/ann": "../../../.."}), ({}, {"repo-1/wav/ann/two.wav": "/etc/passwd"})],
    ids=["up", "absolute", "backslash", "link up", "link to a file"])
def test_a_hostile_archive_is_refused_before_anything_is_taken(world, site, tmp_path, capsys, files, links):
    good = {f"repo-1/wav/{path}.wav": _wav(x) for path, x in WORDS.items()}
    site.pages["/words"] = _tar({**good, **files}, links)
    assert main([*world(), "--only", "words"]) == 1
    assert "would leave its folder" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*evil*")) and not list((tmp_path / "out").rglob("*.flac"))


def test_a_link_in_place_of_a_file_and_a_broken_archive_are_errors(world, site, capsys):
    site.pages["/words"] = _tar({"repo-1/a": b"1"}, {"repo-1/wav/ann/one.wav": "a"})
    assert main([*world(), "--only", "words"]) == 1 and "no plain file" in capsys.readouterr().err
    site.pages["/words"] = _tar({f"repo-1/wav/{path}.wav": _wav(x) for path, x in WORDS.items()})[:-3_000]
    assert main([*world(), "--only", "words"]) == 1 and "broken" in capsys.readouterr().err
    site.pages["/words"] = _tar({f"repo-1/wav/{path}.wav": b"no sound" for path in WORDS})
    assert main([*world(), "--only", "words"]) == 1 and "not a sound file" in capsys.readouterr().err
    site.pages["/words"] = _tar({"repo-1/wav/ann/one.wav": _wav(WORDS["ann/one"])})
    assert main([*world(), "--only", "words"]) == 1
    assert "2 files are at none of the addresses" in capsys.readouterr().err


def test_a_later_address_has_what_the_first_lacks(world, site, tmp_path):
    site.pages["/more"] = site.pages["/words"]
    site.pages["/words"] = _tar({"repo-1/wav/ann/one.wav": _wav(WORDS["ann/one"])})
    assert main([*world(lambda f: f[0]["origins"].append({"archive": f"{site.url}/more"})), "--only", "words"]) == 0
    assert [path for path, _ in site.asked] == ["/words", "/more"]


def test_one_archive_serves_two_sources(world, site):
    def change(found):
        found.append({**found[0], "name": "again"})

    args = world(change)
    lists = Path(args[3]).parent / "lists"
    (lists / "again.csv").write_text((lists / "words.csv").read_text())
    assert main(args) == 0 and [path for path, _ in site.asked].count("/words") == 1


@pytest.mark.parametrize("url", ["http://example.org/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://10.0.0.1/x"])
def test_only_https_is_asked(url, site, tmp_path):
    site.moved["/x"] = url
    for allow, ask in [(False, url), (True, url), (True, f"{site.url}/x"), (False, f"{site.url}/x")]:
        with pytest.raises(FetchError, match="only https|not allowed"):
            fetch.Web(allow).save(ask, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_no_network_is_said_with_the_address(world, site, capsys):
    args = world()
    site.server.shutdown()
    site.server.server_close()
    assert main([*args, "--only", "words"]) == 1
    assert f"{site.url}/words" in (told := capsys.readouterr().err) and "refused" in told.lower()


def test_an_interrupt_keeps_what_is_done(world, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "response", stop)
    assert main(world()) == 130
    assert (tmp_path / "out" / "words" / "bob" / "one.flac").exists()
    monkeypatch.undo()
    assert main(world()) == 0 and "halls: 1 files" in capsys.readouterr().out


@pytest.mark.parametrize("more, told", [
    (["--only", "wrods"], "did you mean 'words'"), (["--check", "--out", "nowhere"], "no folder nowhere")])
def test_wrong_usage_is_2(world, capsys, more, told):
    assert main([*world(), *more]) == 2 and told in capsys.readouterr().err


def test_where_to_must_be_said(monkeypatch, capsys):
    monkeypatch.delenv("OMNI_DATA_DIR", raising=False)
    assert main(["data", "fetch"]) == 2 and "OMNI_DATA_DIR" in capsys.readouterr().err


def test_sound_of_any_kind_becomes_16_khz_mono():
    x = (0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)).astype(np.float32)
    y = fetch.speech(_wav(np.stack([x, x], 1), 44_100))
    assert y.dtype == np.int16 and len(y) == 16_000
    spectrum = np.abs(np.fft.rfft(y.astype(float)))
    assert spectrum.argmax() == 440 and np.abs(y).max() == pytest.approx(0.5 * 32_768, rel=0.01)


def test_a_file_of_many_responses_becomes_an_array_or_says_what_it_needs(tmp_path):
    try:
        import h5py
    except ImportError:
        with pytest.raises(FetchError, match="pip install h5py"):
            fetch.responses(b"")
        return
    values = np.random.default_rng(0).standard_normal((3, 2, 50))
    with h5py.File(tmp_path / "a.sofa", "w") as file:
        file["Data.IR"] = values
    found = fetch.responses((tmp_path / "a.sofa").read_bytes())
    assert found.shape == (6, 50) and found.dtype == np.int16 and (np.abs(found).max(1) == 32_767).all()
    assert np.corrcoef(found[3], values[1, 1])[0, 1] > 0.9999


# ---- the project's own sources -------------------------------------------------------------------------------------


def test_our_sources_are_pinned_licensed_and_small():
    folder = config.data_path("configs", "data")
    found = sources.load()
    assert len({s.name for s in found}) == len(found)
    for source in found:
        entries = sources.listed(source)
        assert source.licence and source.attribution and source.homepage.startswith("https://")
        assert len({e.path for e in entries}) == len({source.there(e.path) for e in entries}) == len(entries) > 0
        for origin in source.origins:
            url = origin.archive or origin.folder
            fetch.Web().check(url)
            assert origin.sha256 or re.search(r"/[0-9a-f]{40}(/|$)", url), f"{url} may change"
        assert bool(source.sha256) == all(e.mark for e in entries)
    lists = [folder / "sources.yaml", *(folder / "lists").iterdir()]
    assert sum(path.stat().st_size for path in lists) < 200_000


def test_what_is_kept_for_development_is_among_our_sources():
    """`held_out` names files that the scripts play: a user who fetches gets them, and training leaves them out."""
    known = {f"{s.folder}/{e.path}{s.suffix}" for s in sources.load() for e in sources.listed(s)}
    assert recordings.held_out_sources() <= known


def test_paths_there_follow_the_source():
    found = {s.name: s for s in sources.load()}
    assert found["an4"].there("fash/an251-fash-b") == "wav/an4_clstk/fash/an251-fash-b.wav"
    assert found["alphanumeric"].there("alnum04/numbers") == "audio_data/Numbers/R_1O7z12FZh2bL6ST.wav"
    assert found["sound_events"].there("dog_bark/1-100032-A") == "001 - Dog bark/1-100032-A.ogg"
    assert found["rooms_halls"].there("binaural-s3_r4_bd").endswith("impulse-responses/bin_dfeq/s3_r4_bd.wav")
    words = sources.listed(found["speech_commands"])
    assert len(words) == 3811 and re.fullmatch(r"[a-z]+/[0-9a-f]{8}_nohash_\d", words[0].path)
    assert words[0].person == words[0].path.split("/")[1][:8] and words[0].text == words[0].path.split("/")[0]


def test_labels_of_orders_and_clips_are_made_from_what_the_source_says():
    found = {s.name: s for s in sources.load()}
    entries = sources.listed(found["coffee_orders"])[:2]
    told = {e.path + ".wav": {"intent": "orderDrink", "slots": {"size": "small", "coffeeDrink": "latte"}}
            for e in entries}
    made = sources.labels(found["coffee_orders"], entries, {"label.json": json.dumps(told).encode()})
    assert json.loads(made["slots.json"])[entries[0].path + ".flac"] == {"coffeeDrink": "latte", "size": "small"}
    assert re.fullmatch(r"voice\d\d", json.loads(made["voices.json"])[entries[1].path + ".flac"])
    page = ("**002 - Rain**:\n- **[1-17-A.ogg](https://x/1-17-A.ogg)**:   clip derived from [a (b).wav](http://y) by "
            "*some body* ([CC0](http://z))\n")
    made = sources.labels(found["sound_events"], [], {"ATTRIBUTION.md": page.encode()})
    assert made["licences.csv"].decode().split("\r\n")[1] == "002 - Rain,1-17-A.ogg,CC0,some body"
