"""Trains the explorer's model and writes its weights beside this file: half a minute on one core.

PYTHONPATH=docs/_code python -m explorer.train

The text is the corpus "toy", a small language of this project's own, which is the same on every Python. A model of it
learns in seconds what takes a language model of English much longer: to look for the one word that decides.
"""

import json
import platform
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

from attn_lab.corpora.toy import ENTROPY_FLOOR
from attn_lab.files import atomic
from attn_lab.training import RunFolder, Settings, train
from attn_lab.training.saved_run import load_run
from explorer.model import RECIPE, WEIGHTS

COMMAND = "PYTHONPATH=docs/_code python -m explorer.train"


def main() -> None:
    """A run as any other, whose best weights are kept in half precision."""
    torch.set_num_threads(1)  # sums in another order would be other weights
    with TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        train(Settings(corpus="toy", recipe=RECIPE, device="cpu", findings=False), run, console=Console())
        saved = load_run(run.path, device="cpu")
        loss, _ = saved.evaluate("test")
    _save(saved.model, loss)


def _save(model: nn.Module, loss: float) -> None:
    """In half precision, which is plenty for a look at them; tied weights once."""
    names: dict[int, str] = {}
    tensors = {}
    for name, weight in model.state_dict().items():
        if names.setdefault(weight.data_ptr(), name) == name:
            tensors[name] = weight.half().contiguous()
    about = {
        "command": COMMAND,
        "made_with": f"Python {platform.python_version()}, torch {torch.__version__}",
        "loss": round(loss, 4),
        "floor": round(ENTROPY_FLOOR, 4),
        "licence": "MIT, as attn-lab; so is the text, the corpus toy",
    }
    with atomic(WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"about": json.dumps(about)})


if __name__ == "__main__":
    main()
