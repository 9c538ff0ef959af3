"""Fetching published data sets over https, with checksums."""

from __future__ import annotations

import difflib
import hashlib
import logging
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pooch

from egno_md.core.errors import DataError
from egno_md.core.progress import Progress, Silent

MD17_URL = "https://www.quantum-machine.org/gdml/data/npz/md17_{molecule}.npz"
"""The publishers give no checksums to compare with."""
MD17_MOLECULES = (
    "aspirin",
    "benzene2017",
    "ethanol",
    "malonaldehyde",
    "naphthalene",
    "salicylic",
    "toluene",
    "uracil",
)

SUMS = "SHA256SUMS"
"""Sums of files fetched on trust, in the format `sha256sum --check` reads."""

TIMEOUT = 60.0
"""Seconds without an answer after which a download fails."""


def fetch_md17(
    molecule: str,
    folder: Path | None = None,
    *,
    sha256: str | None = None,
    trust_first_download: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Fetch an original MD17 trajectory (Chmiela et al. 2017), once.

    Args:
        molecule: one of `MD17_MOLECULES`.
        folder: where files are kept; the user's cache folder if None.
        sha256: the file's SHA-256, where you have it from a source you trust.
        trust_first_download: accept whatever comes first, record its SHA-256
            beside it and demand the same ever after.
        progress: receives progress and notes.

    Returns:
        The file, whose SHA-256 is the one asked for or recorded.

    Raises:
        DataError: unknown molecule, no known sum and no trust, another sum than
            expected, or no network.
    """
    if molecule not in MD17_MOLECULES:
        near = difflib.get_close_matches(molecule, MD17_MOLECULES, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(MD17_MOLECULES)}."
        raise DataError(f"'{molecule}' is not a molecule of MD17. {hint}")
    return fetch(
        MD17_URL.format(molecule=molecule),
        folder or default_folder(),
        sha256=sha256,
        trust_first_download=trust_first_download,
        progress=progress,
    )


def default_folder() -> Path:
    """The user's cache folder for data sets."""
    return Path(pooch.os_cache("egno-md"))


def fetch(
    url: str,
    folder: Path,
    *,
    name: str | None = None,
    sha256: str | None = None,
    trust_first_download: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Fetch one file over https, an .npz where no sum is known; see `fetch_md17`.

    Args:
        url: address of the file.
        folder: where it is saved.
        name: of the saved file; the last part of `url` if None.
        sha256: see `fetch_md17`.
        trust_first_download: likewise.
        progress: likewise.
    """
    progress = progress or Silent()
    require_https(url)
    name = name or url.rsplit("/", 1)[-1]
    path = folder / name
    expected = _expected_sum(name, folder, sha256)
    if expected is None and not trust_first_download:
        raise DataError(
            f"{name}: no SHA-256 is known for it. Give one with --sha256, or accept what "
            "comes with --trust-first-download."
        )
    if path.is_file():
        _check_sum(path, expected)
    else:
        progress.note(f"Fetching {url}")
        _download(url, path, expected)
    if expected is None:
        if not zipfile.is_zipfile(path):
            path.unlink()
            raise DataError(f"{url}: did not send an .npz file. Fetch it by hand into {folder}.")
        expected = file_sum(path)
        with (folder / SUMS).open("a", encoding="utf-8") as sums:
            sums.write(f"{expected}  {name}\n")
        progress.note(f"Trusted {path} from now on as SHA-256 {expected}.")
    return path


def require_https(url: str) -> None:
    """Refuse an address that is not https: its content could be tampered with.

    Raises:
        DataError: the address is not https.
    """
    if not url.startswith("https://"):
        raise DataError(f"{url}: only https is fetched. Get the file by hand if you trust it.")


def file_sum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_identity(path: Path) -> dict[str, str]:
    """A file by its name and content, wherever it lies."""
    return {"file": path.name, "sha256": file_sum(path)}


def _expected_sum(name: str, folder: Path, sha256: str | None) -> str | None:
    """The checksum of the caller or of the folder, which must agree."""
    stated, recorded = sha256.lower() if sha256 else None, _recorded_sums(folder).get(name)
    if stated is not None and recorded is not None and stated != recorded:
        raise DataError(
            f"{name}: SHA-256 sums disagree (given {stated[:12]}…, recorded {recorded[:12]}…). "
            f"Remove its line from {folder / SUMS} if that one is wrong."
        )
    return stated or recorded


def _recorded_sums(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise DataError(f"{folder / SUMS}: cannot be read. Restore it or remove it.") from None
    entries = [line.split() for line in lines]
    return {entry[1]: entry[0] for entry in entries if len(entry) == 2}


def _check_sum(path: Path, expected: str | None) -> None:
    if expected is not None and (content := file_sum(path)) != expected:
        raise DataError(
            f"{path}: SHA-256 is {content[:12]}…, expected {expected[:12]}…. The file has changed: "
            "delete it to fetch it again."
        )


def _download(url: str, path: Path, expected: str | None) -> None:
    downloader: Any = pooch.HTTPDownloader(
        timeout=TIMEOUT, hooks={"response": _refuse_plain_redirect}
    )
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        pooch.retrieve(
            url,
            known_hash=None if expected is None else f"sha256:{expected}",
            fname=path.name,
            path=path.parent,
            downloader=downloader,
        )
    except OSError as error:  # includes everything that requests raises
        raise DataError(
            f"{url}: cannot be fetched ({type(error).__name__}). Download it by hand and put it "
            f"at {path}."
        ) from None
    except ValueError:
        raise DataError(
            f"{url}: what came has another SHA-256 than expected, and was thrown away. "
            "Check the sum, or fetch it by hand."
        ) from None
    finally:
        logger.setLevel(level)


def _refuse_plain_redirect(response: Any, *_: Any, **__: Any) -> None:
    """Hook of every response, before a redirect is followed."""
    if response.is_redirect:
        require_https(urljoin(response.url, response.headers["location"]))
