"""Verified download: each file is the expected one to the last bit, or it is not used."""

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attn_lab.corpora.corpus import CorpusError

LOCK_SECONDS = 900.0  # how long one process waits for another's download
RETRIES = 2
TIMEOUT_SECONDS = 30.0  # without a byte from the network


@dataclass(frozen=True)
class RemoteFile:
    """A file's name and what it must hash to."""

    name: str
    md5: str
    sha256: str


def cache_folder(corpus: str) -> Path:
    """Where a corpus is kept: below ATTN_LAB_CACHE, or else the system's cache folder."""
    import pooch

    return Path(os.path.expanduser(os.environ.get("ATTN_LAB_CACHE") or pooch.os_cache("attn-lab")), corpus)


def verify(path: Path, file: RemoteFile) -> None:
    """Nothing, if the file is the expected one.

    Raises:
        CorpusError: it is another.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    for algorithm, expected in (("md5", file.md5), ("sha256", file.sha256)):
        got = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
        if got != expected:
            raise CorpusError(
                f"{str(path)!r} is not the expected {file.name}: expected {algorithm} {expected}, got {got}. "
                "Put the original there, or give the folder's path as the corpus to read it as plain text"
            )


def fetch(corpus: str, url: str, files: Sequence[RemoteFile]) -> Path:
    """The folder in the cache that holds the files, each verified; what is missing or corrupt is downloaded.

    One process downloads, the others wait for it. A download goes to a temporary name and is renamed when it has been
    verified.

    Raises:
        ConnectionError: the download fails, or brings another file.
        TimeoutError: another process has held the lock for LOCK_SECONDS.
        OSError: the cache cannot be written to.
    """
    folder = cache_folder(corpus)
    if all(_is_there(folder / file.name, file) for file in files):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / "download.lock"):
            for file in files:
                _download(url + file.name, folder, file)
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise OSError(
            f"the cache {str(folder)!r} cannot be written to ({error}); expected a folder with room for the corpus. "
            "Name another by the environment variable ATTN_LAB_CACHE, or the corpus's own folder by --data-dir"
        ) from error
    return folder


def _is_there(path: Path, file: RemoteFile) -> bool:
    try:
        verify(path, file)
    except (OSError, CorpusError):
        return False
    return True


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    import portalocker

    lock = portalocker.Lock(path, timeout=LOCK_SECONDS, check_interval=0.1)
    try:
        lock.acquire(fail_when_locked=True)
    except portalocker.AlreadyLocked:
        print(f"another process is downloading; waiting for its lock {str(path)!r}", file=sys.stderr)
        try:
            lock.acquire()
        except portalocker.LockException as error:
            raise TimeoutError(
                f"another process has held the lock {str(path)!r} for {LOCK_SECONDS:.0f} seconds; expected its "
                "download to end. End that process, or name a folder that holds the corpus's files by --data-dir"
            ) from error
    except portalocker.LockException as error:  # a file system without locks
        raise OSError(f"{str(path)!r} cannot be locked: {error}") from error
    try:
        yield
    finally:
        lock.release()


def _download(url: str, folder: Path, file: RemoteFile) -> None:
    """The file in the folder; pooch keeps the one that is there if it is the expected one."""
    import pooch
    import requests

    cache = pooch.create(
        path=folder,
        base_url="",
        registry={file.name: f"sha256:{file.sha256}"},
        urls={file.name: url},
        retry_if_failed=RETRIES,
    )
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS, progressbar=sys.stderr.isatty())
    try:
        verify(Path(cache.fetch(file.name, downloader=downloader)), file)
    except (requests.RequestException, ValueError) as error:  # ValueError: pooch's, of a checksum that differs
        reason = " ".join(str(error).split())
        raise ConnectionError(
            f"expected {file.name} from {url}; the download failed ({reason}). Try again, or name a folder that holds "
            "the corpus's files, by --data-dir or ATTN_LAB_DATA"
        ) from error
