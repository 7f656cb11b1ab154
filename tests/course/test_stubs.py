"""Stubs from solutions: what is left out, what stays, and the wrong lines that a bug hunt begins with."""

from pathlib import Path

import pytest

from attn_lab.course.catalogue import Exercise
from attn_lab.course.stubs import emptied, is_hunt, solution_text, stub
from attn_lab.course.verdict import judge

SOLUTION = '''"""A sum."""


def add(a, b):
    """a + b."""
    # answer: the sum
    total = a + b

    return total
    # end of answer
'''
HUNT = '''"""A sum, and a bug."""


def add(a, b):
    # answer: the repair
    return a + b
    # instead of:
    # if a:
    #     return a - b
    #
    # return b
    # end of answer


def twice(a):
    return add(a, a)
'''


@pytest.fixture
def exercise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exercise:
    monkeypatch.setattr("attn_lab.course.catalogue.source", lambda: tmp_path)
    found = Exercise("e99_sum", "ch9_sums")
    found.solution.parent.mkdir(parents=True)
    return found


def test_a_region_becomes_one_line(exercise: Exercise) -> None:
    """Catches a stub that gives away a line of the answer, or loses one that is given."""
    exercise.solution.write_text(SOLUTION, encoding="utf-8")
    head = '"""A sum."""\n\n\ndef add(a, b):\n    """a + b."""\n'
    assert stub(exercise) == emptied(exercise) == head + '    raise NotImplementedError("e99 sum: the sum")\n'
    assert solution_text(exercise) == head + "    total = a + b\n\n    return total\n"
    assert not is_hunt(exercise)


def test_a_hunt_begins_with_the_wrong_lines(exercise: Exercise) -> None:
    """Catches a program whose indentation is lost with its comment signs, and one that has both answers."""
    exercise.solution.write_text(HUNT, encoding="utf-8")
    head, tail = '"""A sum, and a bug."""\n\n\ndef add(a, b):\n', "\n\ndef twice(a):\n    return add(a, a)\n"
    assert is_hunt(exercise)
    assert stub(exercise) == head + "    if a:\n        return a - b\n\n    return b\n" + tail
    assert emptied(exercise) == head + '    raise NotImplementedError("e99 sum: the repair")\n' + tail
    assert "# instead of:" in solution_text(exercise)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (SOLUTION.replace("    # end of answer\n", ""), "expected '# answer: …' and '# end of answer' around"),
        (SOLUTION.replace("    # answer: the sum\n", ""), "marks must pair"),
        (SOLUTION + SOLUTION.replace("    # end of answer\n", "    # answer: again\n"), "marks must pair"),
        ("x = 1\n", "around what is to write"),
        (SOLUTION.replace("the sum", "word " * 30), "expected fewer words"),
        (HUNT.replace("    # return b\n", "    return b\n"), "expected a comment, as every line behind"),
    ],
)
def test_marks_that_are_no_marks(exercise: Exercise, wrong: str, message: str) -> None:
    """Catches half a solution handed out as a stub."""
    exercise.solution.write_text(wrong, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        stub(exercise)


def test_a_hunt_is_not_started_until_its_text_changes(exercise: Exercise, tmp_path: Path) -> None:
    """Catches a learner who is told what is wrong with a program that they have not looked at."""
    exercise.solution.write_text(HUNT, encoding="utf-8")
    file = tmp_path / "answer.py"
    file.write_text(stub(exercise), encoding="utf-8")
    assert judge(exercise, file, None, []).is_not_started
    file.write_text(stub(exercise) + "# looked at\n", encoding="utf-8")
    assert not judge(exercise, file, None, []).is_not_started
