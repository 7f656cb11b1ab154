"""What the corpus tests need from outside, and when its absence is a failure."""

import os
import socket
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest


def absent(what: str, *, required: bool) -> NoReturn:
    """A skip on a learner's machine; a failure where the machine was set up to have it."""
    if required:
        pytest.fail(f"{what}; it is required here (CI is set)")
    pytest.skip(what)


@pytest.fixture(scope="session")
def ptb_folder() -> Path:
    """The folder of the real Penn Treebank. With CI set its absence is a failure."""
    folder = os.environ.get("ATTN_LAB_DATA", "")
    if not folder or not Path(folder, "ptb.train.txt").is_file():
        absent("ATTN_LAB_DATA does not name a folder with the Penn Treebank", required=bool(os.environ.get("CI")))
    return Path(folder)


@pytest.fixture(scope="session")
def torchtext() -> ModuleType:
    """torchtext, ready to use. With CI and ATTN_LAB_EXPECT_TORCHTEXT=1 set its absence is a failure."""
    from attn_lab.corpora.torchtext import _import_torchtext

    try:
        return _import_torchtext()
    except ImportError as error:
        expected = os.environ.get("CI") and os.environ.get("ATTN_LAB_EXPECT_TORCHTEXT") == "1"
        absent(str(error), required=bool(expected))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection is an error, and so is the look-up of any name."""

    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
