"""The course runs through attn-lab's pytest plugin: in order, one exercise at a time, with a diagnosis."""

from pathlib import Path

from attn_lab.course import plugin


def pytest_addoption(parser):
    plugin.add_options(parser)


def pytest_configure(config):
    plugin.register(config, Path(__file__).parent)
