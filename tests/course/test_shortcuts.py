"""No shortcuts: what an exercise asks for may not be called from the answer's own file, and by anybody else it may."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REFUSED = {
    "by its module": ("import torch.nn.functional as F", "F.scaled_dot_product_attention(q, k, v)"),
    "by name": ("from torch.nn.functional import scaled_dot_product_attention as harmless", "harmless(q, k, v)"),
    "in a table": ("import torch.nn.functional as F\nT = {1: F.scaled_dot_product_attention}", "T[1](q, k, v)"),
    "the reference": ("import attn_lab", "attn_lab.attention(q, k, v)"),
    "the reference by name": ("from attn_lab.scaled_dot_product import attention as harmless", "harmless(q, k, v)"),
    "inside PyTorch's module": ("import torch", "torch.nn.MultiheadAttention(4, 1)(q[0], k[0], v[0])[0]"),
    "in a function of its own": (
        "import torch.nn.functional as F\ndef inner(*a):\n    return F.scaled_dot_product_attention(*a)",
        "inner(q, k, v)",
    ),
}
ALLOWED = {
    "its parts": ("import torch", "torch.softmax(q @ k.mT / 2, -1) @ v"),
    "einops": ("from einops import einsum", "einsum(q, k, 'b h i d, b h j d -> b h i j').softmax(-1) @ v"),
    "another layer": ("import torch", "torch.nn.Linear(4, 4)(q)"),
    "a part that calls the reference": (
        "import attn_lab",
        "attn_lab.MultiHeadSelfAttention(4, 1, attention=attn_lab.attention)(q[0], k[0], v[0])",
    ),
}
# In a process of its own: the run-time shape checker puts frames of its own between the answer and what it calls.
PROGRAM = """
import json, sys
from pathlib import Path
import torch, torch.nn.functional as F, attn_lab
from hypothesis import given, settings, strategies as st
from attn_lab.course.answers import load
from attn_lab.course.catalogue import find
from attn_lab.course.mistakes import catalogue
from attn_lab.course.shortcuts import NoShortcuts, Shortcut

x = torch.ones(1, 1, 2, 4)
file = Path(sys.argv[1])
answer = load(file)

@settings(max_examples=3, database=None)
@given(n=st.integers(1, 2))
def drawn(n):
    answer.attention(x[:, :, :n], x[:, :, :n], x[:, :, :n])

outcome = {}
for name, call in {"plain": lambda: answer.attention(x, x, x), "drawn": drawn}.items():
    try:
        with NoShortcuts(catalogue(find("e02")).not_allowed, file):
            F.scaled_dot_product_attention(x, x, x)  # a test's own oracles
            attn_lab.attention(x, x, x)
            call()
        outcome[name] = "allowed"
    except Shortcut as error:
        outcome[name] = str(error)
print(json.dumps(outcome))
"""


def judged(head: str, expression: str, folder: Path) -> dict[str, str]:
    """What comes of an answer to e02, called by a test and by a test with drawn cases."""
    file = folder / "e02_attention.py"
    file.write_text(f"{head}\n\n\ndef attention(q, k, v):\n    return {expression}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file)], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("way", REFUSED)
def test_a_shortcut_is_refused(way: str, tmp_path: Path) -> None:
    """Catches an answer that lets somebody else do the exercise, and passes."""
    outcome = judged(*REFUSED[way], tmp_path)
    assert "Write it yourself" in outcome["plain"]
    assert outcome["drawn"] == outcome["plain"]


@pytest.mark.parametrize("way", ALLOWED)
def test_everything_else_is_allowed(way: str, tmp_path: Path) -> None:
    """Catches a refusal of what the exercise is built of, of the oracles, of given parts that call their own."""
    assert judged(*ALLOWED[way], tmp_path) == {"plain": "allowed", "drawn": "allowed"}


WITHOUT_TENSORS = {
    "by its module": ("from attn_lab import corpora", "return corpora.basic_english(line)"),
    "by its own module": ("import attn_lab.corpora.tokenizers as t", "return t.basic_english(line)"),
    "inside the function": ("", "from attn_lab.corpora import basic_english as b\n    return b(line)"),
    "by another name": ("from attn_lab.corpora import basic_english as _b", "return _b(line)"),
    "in a table": ("from attn_lab import corpora\nT = [corpora.basic_english]", "return T[0](line)"),
    "a class": ("from attn_lab import corpora", "return list(corpora.Vocabulary([line]))"),
    "a class's method": ("from attn_lab import corpora", "return list(corpora.Vocabulary.build([[line]]))"),
}


# One process for all of them, for the same reason.
WITHOUT_TENSORS_PROGRAM = """
import json, sys
from pathlib import Path
from attn_lab import corpora
from attn_lab.course.answers import load
from attn_lab.course.catalogue import find
from attn_lab.course.mistakes import catalogue
from attn_lab.course.shortcuts import Shortcut, no_shortcuts

outcomes = {}
for way, text in json.loads(sys.argv[1]).items():
    file = Path(sys.argv[2], "e16_vocabulary.py")
    file.write_text(text, encoding="utf-8")
    try:
        with no_shortcuts(catalogue(find("e16")).not_allowed, file):
            assert corpora.basic_english("A b.") == ["a", "b", "."]  # a test's own oracle
            load(file).basic_english("A b.")
        outcomes[way] = "allowed"
    except Shortcut as error:
        outcomes[way] = str(error)
    assert corpora.basic_english("A b.") == ["a", "b", "."]
    assert list(corpora.Vocabulary.build([["a"]])) == ["<unk>", "a"]
print(json.dumps(outcomes))
"""


def test_a_shortcut_without_a_tensor_is_refused(tmp_path: Path) -> None:
    """Catches a borrowed function that PyTorch's hook never sees, since there is no tensor in it."""
    texts = {
        way: f"{head}\n\n\ndef basic_english(line):\n    {body}\n" for way, (head, body) in WITHOUT_TENSORS.items()
    }
    texts["honest"] = "def basic_english(line):\n    return line.lower().split()\n"
    command = [sys.executable, "-c", WITHOUT_TENSORS_PROGRAM, json.dumps(texts), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert outcomes.pop("honest") == "allowed"
    assert [way for way, outcome in outcomes.items() if "Write it yourself" not in outcome] == []
