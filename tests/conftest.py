"""What every test stands on: the run-time shape checker and a switch for it, and Hypothesis profiles."""

import os
from collections.abc import Iterator

import hypothesis
import jaxtyping
import pytest
import torch

# The shapes in the signatures are checked while the tests run. Here and not on pytest's command line: the exercises are
# another pytest run, of answers that have no such signatures, and they start faster without it.
jaxtyping.install_import_hook("attn_lab", "beartype.beartype")

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

torch.set_num_threads(1)  # the tests' tensors are tiny: a second thread costs more than it brings


@pytest.fixture
def no_shape_checker() -> Iterator[None]:
    """Off for tests of bad input: the run-time shape checker would raise its own error before ours."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
