"""Fetching data sets: https only, sums known, given or trusted once. No network."""

import hashlib
import io
import shutil
import urllib.parse
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests

from egno_md.core.errors import DataError
from egno_md.data.download import SUMS, fetch, fetch_md17
from egno_md.paper.datasets.adk import fetch_adk


class Heard:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def update(self, done: float, total: float, text: str = "") -> None:
        pass


class Server:
    """Stands in for `pooch.HTTPDownloader`; serves one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[str] = []

    def __call__(self, **options):
        def download(url, output_file, pooch):
            self.requests.append(url)
            shutil.copyfile(self.path, output_file)

        return download


@pytest.fixture
def server(tmp_path, monkeypatch) -> Server:
    path = tmp_path / "remote.npz"
    np.savez(path, z=np.array([1]))
    server = Server(path)
    monkeypatch.setattr(pooch, "HTTPDownloader", server)
    return server


def sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_unknown_sum_is_not_fetched_without_trust(tmp_path, server):
    with pytest.raises(DataError, match="no SHA-256 is known"):
        fetch_md17("ethanol", tmp_path / "cache")
    assert server.requests == []


def test_given_sum_is_verified(tmp_path, server):
    path = fetch_md17("ethanol", tmp_path / "cache", sha256=sum_of(server.path).upper())
    assert path == tmp_path / "cache" / "md17_ethanol.npz"
    assert path.read_bytes() == server.path.read_bytes()
    (asked,) = server.requests
    assert urllib.parse.urlparse(asked).scheme == "https"


def test_other_sum_than_given_leaves_nothing(tmp_path, server):
    with pytest.raises(DataError, match="another SHA-256 than expected"):
        fetch_md17("ethanol", tmp_path / "cache", sha256="0" * 64)
    assert not (tmp_path / "cache" / "md17_ethanol.npz").exists()


def test_first_download_is_trusted_once_and_verified_after(tmp_path, server):
    heard, cache = Heard(), tmp_path / "cache"
    path = fetch_md17("uracil", cache, trust_first_download=True, progress=heard)
    assert (cache / SUMS).read_text() == f"{sum_of(path)}  md17_uracil.npz\n"
    assert sum_of(path) in heard.notes[-1]

    assert fetch_md17("uracil", cache) == path
    assert len(server.requests) == 1

    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match="The file has changed"):
        fetch_md17("uracil", cache, trust_first_download=True)

    path.unlink()
    np.savez(server.path, z=np.array([2]))
    with pytest.raises(DataError, match="another SHA-256 than expected"):
        fetch_md17("uracil", cache, trust_first_download=True)


def test_given_sum_must_agree_with_the_recorded_one(tmp_path, server):
    fetch_md17("uracil", tmp_path, trust_first_download=True)
    with pytest.raises(DataError, match="sums disagree"):
        fetch_md17("uracil", tmp_path, sha256="0" * 64)


def test_file_put_there_by_hand_is_used(tmp_path, server):
    shutil.copyfile(server.path, tmp_path / "md17_toluene.npz")
    fetch_md17("toluene", tmp_path, sha256=sum_of(server.path))
    assert server.requests == []


def test_error_page_is_not_trusted(tmp_path, server):
    server.path.write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"did not send an \.npz file"):
        fetch_md17("aspirin", tmp_path, trust_first_download=True)
    assert not (tmp_path / "md17_aspirin.npz").exists()
    assert not (tmp_path / SUMS).exists()


def test_plain_http_is_refused(tmp_path, server):
    with pytest.raises(DataError, match="only https"):
        fetch("http://example.org/a.npz", tmp_path, trust_first_download=True)
    assert server.requests == []


def test_redirection_to_plain_http_is_not_followed(tmp_path, monkeypatch):
    """Through the real downloader, with a transport that answers like a server."""
    asked = []

    def send(self, request, **options):
        asked.append(request.url)
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 301, request.url, request
        answer.headers["location"] = "http://example.org/a.npz"
        answer.raw = io.BytesIO(b"moved")
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with pytest.raises(DataError, match="only https"):
        fetch("https://example.org/a.npz", tmp_path, trust_first_download=True)
    assert asked == ["https://example.org/a.npz"]
    assert not (tmp_path / "a.npz").exists()


def test_no_network_says_where_to_put_the_file(tmp_path, monkeypatch):
    def retrieve(*args, **options):
        raise requests.exceptions.ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(DataError, match=r"by hand and put it at .*md17_ethanol\.npz") as caught:
        fetch_md17("ethanol", tmp_path, trust_first_download=True)
    assert "\n" not in str(caught.value)


def test_unknown_molecule_suggests_the_nearest(tmp_path):
    with pytest.raises(DataError, match="Did you mean 'benzene2017'"):
        fetch_md17("benzene", tmp_path)
    with pytest.raises(DataError, match="Known: aspirin"):
        fetch_md17("xyz", tmp_path)


def test_a_file_is_kept_by_the_name_it_is_given(tmp_path, server):
    url = "https://example.org/files/8672230"
    path = fetch(url, tmp_path / "cache", name="a.psf", sha256=sum_of(server.path))
    assert path == tmp_path / "cache" / "a.psf"
    assert server.requests == [url]


def test_another_file_than_the_known_sum_is_thrown_away(tmp_path, server):
    with pytest.raises(DataError, match="another SHA-256 than expected"):
        fetch_adk(tmp_path / "cache")
    assert len(server.requests) == 1
