"""Chapter 9's machinery: a learner's properties are put to right and wrong implementations, each on its own."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from attn_lab.course.catalogue import find
from attn_lab.course.disguise import disguised
from attn_lab.course.stubs import solution_text, stub
from attn_lab.course.subjects import SUBJECTS

# Behind the worked solution to e35: one property more, and what its verdict must say.
ONE_MORE = {
    "loops for ever": ("while True:\n        pass", "did not end in time"),
    "ends the process": ("import os\n    os._exit(3)", "may not end the process"),
    "exits": ("raise SystemExit(0)", "may not end the process"),
    "reads the name": ("assert causal.__name__ != 'upper'", "causal.__name__ is looked at"),
    "reads the source": ("import inspect\n    assert 'tril' in inspect.getsource(causal)", "is looked at"),
    "reads it in secret": ("try:\n        causal.__code__\n    except Exception:\n        pass", "is looked at"),
    "always fails": ("raise AssertionError", "property_more refuses everything, right or wrong"),
    "always passes": ("causal(3)", "property_more refuses nothing that we know of"),
    "returns": ("return bool(causal(3)[0, 0])", "property_more returns a value (bool)"),
    "changes what it is given": ("causal.seen = True", "cannot get the attribute seen"),
    "keeps something": ("SEEN.append(causal)\n    assert len(SEEN) < 30\n\n\nSEEN = []", "changes its mind"),
    "is lucky": ("import random\n    assert random.random() > 0.8 or causal(3).triu(1).sum() == 0", "changes its mind"),
    "is too strict": ("assert causal(3).is_contiguous()", "refuses 1 of 10 right ones, such as: the upper triangle"),
    "crashes": ("assert causal(3) == causal(3)", "RuntimeError: Boolean value of Tensor"),
    "imports the checks": ("from attn_lab.checks.compare import agree", "attn_lab.checks does what you are asked"),
    "imports the checks by name": (
        "import importlib\n    importlib.import_module('attn_lab.checks.compare')",
        "Write it",
    ),
    "reaches for the checks": (
        "import torch, attn_lab\n    attn_lab.checks.compare.agree(causal(2), causal(2), 0.0, '')",
        "attn_lab.checks does what",
    ),
    "imports the mistakes": ("from attn_lab.course import mistakes", "attn_lab.course.mistakes does what"),
    "takes the answer": (
        "import attn_lab\n    assert (causal(3) == attn_lab.masks.causal(3)).all()",
        "masks.causal does",
    ),
}
OF_A_MODULE = {
    "reads the class's name": ("assert multi_head.__name__", "multi_head.__name__ is looked at"),
    "reads an instance's": ("assert type(multi_head(4, 2)).__name__", "multi_head.__name__ is looked at"),
    "reads its ancestors": ("assert len(multi_head.__mro__) < 5", "multi_head.__mro__ is looked at"),
    "reads the class's source": ("import inspect\n    inspect.getsource(multi_head)", "is looked at"),
    "takes the module": (
        "import attn_lab\n    attn_lab.MultiHeadSelfAttention(4, 2)(*[numbers(0, 1, 2, 4).float()] * 3)",
        "attn_lab.MultiHeadSelfAttention does what you are asked",
    ),
    "changes the class": (
        "multi_head.forward = lambda self, *args: args[0]\n    multi_head.more = 1",
        "property_more refuses nothing that we know of",
    ),
}
# In the place of the worked solution.
INSTEAD = {
    "has no property": ('"""Nothing."""\n', "there is no property of causal yet"),
    "has the wrong argument": ("def property_a(mask):\n    assert mask\n", "property_a takes (mask)"),
    "has two arguments": (
        "def property_a(causal, padding):\n    assert causal\n",
        "property_a takes (causal, padding)",
    ),
    "begins with the checks": ("import attn_lab.checks.compare\n", "attn_lab.checks does what you are asked"),
    "borrows a check": ("import attn_lab\nproperty_a = attn_lab.checks.compare.agree\n", "attn_lab.checks does what"),
    "is not started": (stub(find("e35")), ""),
}

# In a process of its own: the run-time shape checker puts frames of its own between the answer and what it calls.
PROGRAM = """
import json, shutil, sys
from pathlib import Path
import attn_lab.checks.compare
from attn_lab.course.catalogue import find
from attn_lab.course import properties
from attn_lab.course.outcomes import reason
from attn_lab.course.telling import tell
from attn_lab.course.trial import get_ready, judged

get_ready()
properties.SECONDS = 1.0
folder, texts = Path(sys.argv[1]), json.loads(Path(sys.argv[1], "texts.json").read_text())
verdicts = {}
for name, (number, text) in texts.items():
    exercise = find(number)
    exercise.answer(folder).parent.mkdir(exist_ok=True)
    exercise.answer(folder).write_text(text, encoding="utf-8")
    shutil.copy(exercise.specification, exercise.test(folder))
    verdict, _ = judged(exercise, folder)
    failed = verdict.first_failure
    verdicts[name] = {
        "passed": verdict.passed,
        "not started": verdict.is_not_started,
        "reason": reason(failed.error) if failed else "",
        "matches": [match.mistake.behaviour for match in verdict.matches],
        "screen": tell(verdict),
    }
print(json.dumps(verdicts))
"""


def solution(number: str) -> str:
    return solution_text(find(number))


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of all these answers, judged one after another in one process: none leaves anything behind."""
    texts = {
        name: ("e35", f"{solution('e35')}\n\ndef property_more(causal):\n    {body}\n")
        for name, (body, _) in ONE_MORE.items()
    }
    texts |= {name: ("e35", text) for name, (text, _) in INSTEAD.items()}
    texts |= {"one left out": ("e35", solution("e35").replace("def property_causal_shows", "def no_property"))}
    texts |= {"e35 solved": ("e35", solution("e35")), "e36 solved": ("e36", solution("e36"))}
    texts |= {
        name: ("e36", f"{solution('e36')}\n\ndef property_more(multi_head):\n    {body}\n")
        for name, (body, _) in OF_A_MODULE.items()
    }
    folder = tmp_path_factory.mktemp("answers")
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", ["e35 solved", "e36 solved"])
def test_the_solutions_pass(name: str, verdicts: dict[str, Any]) -> None:
    """Catches a right test that is refused; last in a row of wrong ones, so it also catches what those leave behind."""
    assert verdicts[name]["passed"], verdicts[name]["screen"]


@pytest.mark.parametrize("name", ONE_MORE)
def test_one_property_more(name: str, verdicts: dict[str, Any]) -> None:
    """Catches a trivial, dishonest or careless property that goes unseen beside good ones."""
    assert not verdicts[name]["passed"]
    assert ONE_MORE[name][1] in verdicts[name]["reason"]
    assert len(verdicts[name]["screen"]) <= 22  # below the bar


@pytest.mark.parametrize("name", INSTEAD)
def test_other_answers(name: str, verdicts: dict[str, Any]) -> None:
    """Catches an answer that tests nothing, and passes."""
    assert not verdicts[name]["passed"]
    assert INSTEAD[name][1] in verdicts[name]["reason"]
    assert verdicts[name]["not started"] == (name == "is not started")


def test_what_slips_through_is_told(verdicts: dict[str, Any]) -> None:
    """Catches a report that does not say what slipped through, or what to think about next."""
    reason = verdicts["one left out"]["reason"]
    assert "wrong ones slip through. Ask yourself: which pairs must be True" in reason
    assert "No property of causal refuses one that hides the query's own position; or lets" in reason
    assert verdicts["one left out"]["matches"] == [
        "looks at the future alone, and is content with a mask that hides too much"
    ]
    assert any(
        line.startswith("Your test of causal behaves exactly like") for line in verdicts["one left out"]["screen"]
    )


@pytest.mark.parametrize("name", OF_A_MODULE)
def test_one_property_more_of_a_module(name: str, verdicts: dict[str, Any]) -> None:
    """Catches a look at the class behind, by way of an instance too; and a comparison with the library's own answer."""
    assert not verdicts[name]["passed"]
    assert OF_A_MODULE[name][1] in verdicts[name]["reason"]


# Here too: the shape checker would find mistakes before a property does.
NEEDED = """
import json, torch
from attn_lab.course.answers import load
from attn_lab.course.catalogue import find
from attn_lab.course.properties import Examination

slips = {}
for number, subjects in (("e35", ("causal", "padding", "sliding_window")), ("e36", ("multi_head",))):
    for subject in subjects:
        seen = Examination(load(find(number).solution), subject)
        slips |= {name: [wrong.told for wrong in seen.slipped_through(without=name)] for name in seen.properties}
        slips[f"all of {subject}"] = [wrong.told for wrong in seen.slipped_through()]
print(json.dumps(slips))
"""


def test_each_property_of_the_solutions_is_needed() -> None:
    """Catches a worked solution with a property that could be left out, and one that lets a mistake through."""
    done = subprocess.run([sys.executable, "-c", NEEDED], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    slips = json.loads(done.stdout)
    whole = {name for name in slips if name.startswith("all of ")}
    assert len(whole) == len(SUBJECTS)
    assert [name for name in whole if slips[name]] == []
    assert len(slips) - len(whole) == 14
    assert [name for name in slips.keys() - whole if not slips[name]] == []


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=lambda subject: subject.name)
def test_right_and_wrong_ones_of_every_subject(subject: Any) -> None:
    """Catches a catalogue that was renamed, so that hardly anything is left to refuse."""
    implementations = subject.implementations()
    assert sum(one.is_right for one in implementations) >= 7
    assert sum(not one.is_right for one in implementations) >= 12
    assert len({one.told for one in implementations}) == len(implementations)
    assert all(one.question.endswith("?") for one in implementations if not one.is_right)


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=lambda subject: subject.name)
def test_nothing_but_behaviour_tells_them_apart(subject: Any) -> None:
    """Catches a disguise that lets through what an implementation is called or how it is written."""
    faces = set()
    for one in subject.implementations():
        given = disguised(one.code, subject.name, {"elsewhere"})
        looks = [
            repr(given).split(" object")[0],
            type(given).__name__,
            type(given).__qualname__,
            type(given).__module__,
        ]
        for question in (
            lambda x: x.__name__,
            lambda x: x.__qualname__,
            lambda x: x.__module__,
            lambda x: x.__wrapped__,
            lambda x: [base.__name__ for base in x.__mro__[1:]],
            inspect.getsource,
            lambda x: str(inspect.signature(x)),
            dir,
        ):
            try:
                looks.append(str(question(given)))
            except Exception as error:
                looks.append(type(error).__name__)
        faces.add(tuple(looks))
    assert len(faces) == 1


def test_an_exception_does_not_bring_its_frames() -> None:
    """Catches the name of a function in the traceback of what it raises."""

    def tell_tale(n: int) -> None:
        raise ValueError("no")

    try:
        disguised(tell_tale, "causal", ())(3)
    except ValueError as error:
        frame, names = error.__traceback__, []
        while frame is not None:
            names.append(frame.tb_frame.f_code.co_name)
            frame = frame.tb_next
    assert "tell_tale" not in names


def test_a_module_in_disguise_is_the_module(tmp_path: Path) -> None:
    """Catches a disguise that does not convert, copy, save, load, train or rest as the module behind it does."""
    import copy

    import torch

    made = disguised(SUBJECTS["multi_head"].implementations()[0].code, "multi_head", ())
    module, x = made(6, 2, 0.5).double(), torch.ones(1, 4, 6, dtype=torch.float64)
    assert isinstance(module, made)
    assert len(list(module.parameters())) == 8
    resting = module.eval()(x, x, x)
    assert torch.equal(copy.deepcopy(module)(x, x, x), resting)
    other = made(6, 2).double()
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x, x, x), resting)
    assert not torch.equal(module.train()(x, x, x), resting)
    with pytest.raises(ValueError, match="multiple of n_heads"):
        made(5, 2)


@pytest.mark.parametrize("name", ["35", "e35", "test_of_masks", "e35_test_of_masks", "test_e35_test_of_masks.py"])
def test_an_exercise_about_a_test_is_found(name: str) -> None:
    """Catches a name that begins with test_ by right, and is taken for a test file's."""
    assert find(name).number == "e35"
