"""The download, against a server of our own that misbehaves in every way that networks do."""

import errno
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pooch
import portalocker
import pytest
import requests

from attn_lab import corpora
from attn_lab.corpora import download, ptb
from attn_lab.corpora.download import RemoteFile, fetch

CONTENT = {
    "ptb.train.txt": b"the cat sat\nthe dog sat\n" * 2000,
    "ptb.valid.txt": b"the owl sat\n",
    "ptb.test.txt": b"the bee sat\n",
}

FILES = {
    name.split(".")[1]: RemoteFile(name, hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest())
    for name, content in CONTENT.items()
}

Answer = Callable[[http.server.BaseHTTPRequestHandler, bytes], None]


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; `answers`, one for each request to come, are ways to go wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.answers: list[Answer] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.requests.append(name)
        answer = self.server.answers.pop(0) if self.server.answers else whole
        answer(self, CONTENT[name])

    def log_message(self, *_: object) -> None: ...


def whole(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def cut_half_way(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def cut_unnoticed(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    """No length was announced: to the client half the file looks like all of it."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def another_file(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    whole(handler, b"<html>Please log in to this hotel's network</html>")


def not_found(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_error(404)


FAILURES = [cut_half_way, cut_unnoticed, another_file, not_found]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        monkeypatch.setattr(ptb, "URL", server.url)
        monkeypatch.setattr(ptb, "FILES", FILES)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache that the tests write to, and no data folder, so that it is used."""
    monkeypatch.setenv("ATTN_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ATTN_LAB_DATA", raising=False)
    monkeypatch.setattr(download, "RETRIES", 0)
    return tmp_path / "cache" / "ptb"


def assert_complete(cache: Path) -> None:
    """The three files and the lock, and nothing else: no part of a file, no temporary one."""
    assert {path.name for path in cache.iterdir()} == {*CONTENT, "download.lock"}
    assert {name: (cache / name).read_bytes() for name in CONTENT} == CONTENT


def test_download_once(server: Server, cache: Path) -> None:
    """A file that is fetched again although it is in the cache, or a corpus that is not the one that was fetched."""
    corpus = corpora.load("ptb")
    assert_complete(cache)
    assert corpus.raw_words == {"train": 12_000, "valid": 3, "test": 3}
    corpora.load("ptb")
    assert sorted(server.requests) == sorted(CONTENT)


def test_empty_data_folder_variable_is_none(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ATTN_LAB_DATA= in a shell, read as the current folder."""
    monkeypatch.setenv("ATTN_LAB_DATA", "")
    corpora.load("ptb")
    assert_complete(cache)


@pytest.mark.parametrize("failure", FAILURES)
def test_failed_download_is_never_used(server: Server, cache: Path, failure: Answer) -> None:
    """Half a file, or a login page, in the cache under the corpus's name; an error without the way out."""
    server.answers = [whole, failure]
    with pytest.raises(ConnectionError, match=r"expected ptb\.\w+\.txt from http://127.*--data-dir or") as error:
        corpora.load("ptb")
    assert "\n" not in str(error.value)
    assert {path.name for path in cache.iterdir()} == {"ptb.train.txt", "download.lock"}
    corpora.load("ptb")  # the next run fetches what is missing, and only that
    assert_complete(cache)
    assert server.requests.count("ptb.train.txt") == 1


@pytest.mark.parametrize("failure", FAILURES)
def test_a_download_is_tried_again(
    server: Server, cache: Path, failure: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that fails once and ends a run that a second request would have saved."""
    monkeypatch.setattr(download, "RETRIES", 1)
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.answers = [failure]
    corpora.load("ptb")
    assert_complete(cache)
    assert len(server.requests) == 4


@pytest.mark.parametrize("damage", [b"", b"the cat", CONTENT["ptb.train.txt"][:-1] + b"\0"])
def test_corrupt_cache_is_healed(server: Server, cache: Path, damage: bytes) -> None:
    """A file that was cut or altered on the disk, read because it has the right name."""
    corpora.load("ptb")
    (cache / "ptb.train.txt").write_bytes(damage)
    corpora.load("ptb")
    assert_complete(cache)
    assert server.requests.count("ptb.train.txt") == 2
    assert len(server.requests) == 4


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of traceback for a learner who is offline."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(ptb, "URL", f"http://127.0.0.1:{port}/")
    with pytest.raises(ConnectionError, match=r"the download failed \(.*--data-dir or ATTN_LAB_DATA") as error:
        corpora.load("ptb")
    assert "\n" not in str(error.value)


def test_a_verified_cache_needs_no_network(server: Server, cache: Path, no_network: None) -> None:
    """A run that asks the network, or writes to the cache, although all files are there."""
    cache.mkdir(parents=True)
    for name, content in CONTENT.items():
        (cache / name).write_bytes(content)
    corpora.load("ptb")
    assert {path.name for path in cache.iterdir()} == set(CONTENT)


def test_cache_that_cannot_be_written(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache on a read-only disk: an error that names neither the folder nor the variable that moves it."""
    (tmp_path / "file").write_text("a file where the cache's folder would be", encoding="utf-8")
    monkeypatch.setenv("ATTN_LAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"the cache '.*file.*ptb' cannot be written to .*ATTN_LAB_CACHE") as error:
        corpora.load("ptb")
    assert "\n" not in str(error.value)


def test_full_disk(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk reported as a network that fails, or a part of the file left in the cache."""

    def fill(_: object, url: str, output: str, *__: object) -> None:
        Path(output).write_bytes(b"the cat")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", fill)
    with pytest.raises(OSError, match=f"cannot be written to .*{os.strerror(errno.ENOSPC)}") as error:
        corpora.load("ptb")
    assert not isinstance(error.value, ConnectionError)
    assert {path.name for path in cache.iterdir()} == {"download.lock"}


def test_a_reason_of_several_lines(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's or a library's message of several lines in what should be one."""

    def fail(*_: object) -> None:
        raise requests.exceptions.ProxyError("no route\n  to the proxy")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", fail)
    with pytest.raises(ConnectionError, match=r"the download failed \(no route to the proxy\)"):
        corpora.load("ptb")


def test_lock_that_is_held_for_too_long(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waits for ever, without a word about what it waits for."""
    monkeypatch.setattr(download, "LOCK_SECONDS", 0.2)
    cache.mkdir(parents=True)
    with (
        portalocker.Lock(cache / "download.lock"),
        pytest.raises(TimeoutError, match=r"held the lock '.*download\.lock' for") as error,
    ):
        corpora.load("ptb")
    assert "\n" not in str(error.value)
    assert server.requests == []
    corpora.load("ptb")
    assert_complete(cache)


def start_process(server: Server) -> "subprocess.Popen[str]":
    script = f"from attn_lab.corpora.download import *\nfetch('ptb', {server.url!r}, {list(FILES.values())!r})"
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)


def wait_until_told(process: "subprocess.Popen[str]") -> None:
    """Until the process says that it waits for the lock; at its end, if it never does."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "another process is downloading; waiting for its lock" in line:
            return
    pytest.fail(f"the process did not wait for the lock; it said: {''.join(said)}")


def test_two_processes_download_once(server: Server, cache: Path) -> None:
    """Two runs started together that both download, or of which one reads what the other has half written."""
    second_waits = threading.Event()

    def after_the_second_has_come(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
        assert second_waits.wait(120)
        whole(handler, content)

    server.answers = [after_the_second_has_come]
    first = start_process(server)
    while not server.requests and first.poll() is None:
        threading.Event().wait(0.01)
    second = start_process(server)
    wait_until_told(second)
    second_waits.set()
    for process in (first, second):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert_complete(cache)
    assert sorted(server.requests) == sorted(CONTENT)


def test_a_killed_download_blocks_nobody(server: Server, cache: Path) -> None:
    """A lock that outlives its process, or half a file that it left and that the next one uses."""
    killed = threading.Event()

    def half_and_then_hang(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
        cut_half_way(handler, content)
        handler.wfile.flush()
        killed.wait(120)

    server.answers = [half_and_then_hang]
    first = start_process(server)
    while not server.requests and first.poll() is None:
        threading.Event().wait(0.01)
    first.kill()
    first.communicate()
    killed.set()
    fetch("ptb", server.url, list(FILES.values()))
    assert {name: (cache / name).read_bytes() for name in CONTENT} == CONTENT
    assert server.requests.count("ptb.train.txt") == 2
