"""The mutation run itself: what it changes, and what it says of a hole that was planted."""

import re
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray", reason="the extra: pip install -e '.[mutation]'")

from cosmic_ray.mutating import mutate_code

from tests.mutation.judges import Solution, fingerprint
from tests.mutation.mutants import answer_lines, drawn, mutants
from tests.mutation.operators import DeleteKeywordArgument, DeleteStatement, SwapAxes
from tests.mutation.report import Row, counted
from tests.mutation.session import Judged, Record, Session
from tests.mutation.survivors import Group

PROGRAM = '''
def larger(a: "b n -> n b", *, b: int | None = None) -> int | str:
    """1 + 1 of b n -> n b."""
    d: int | None
    c: int | None = a
    # answer: compare
    if c > b:
        return c
    # end of answer
    return b
'''
TESTS = """
def test_of_two_it_is_the_larger(answer):
    assert answer.larger(2, b=1) == 2
    assert answer.larger(1, b=2) == 2
"""
ENDLESS = "def larger(a, *, b):\n    while True:\n        pass\n"


@pytest.fixture
def planted(tmp_path: Path) -> Solution:
    file, specification = tmp_path / "ch0_planted" / "e00_planted.py", tmp_path / "test_e00_planted.py"
    file.parent.mkdir()
    file.write_text(PROGRAM, encoding="utf-8")
    specification.write_text(TESTS, encoding="utf-8")
    return Solution("e00_planted", file, specification)


def test_annotations_and_docstrings_stay() -> None:
    """Catches mutants that change nothing when the program runs: they would count as holes, or as caught for free."""
    for mutant in mutants(PROGRAM):
        assert 'def larger(a: "b n -> n b", *, b: int | None = None' in mutant.text
        assert "    d: int | None\n" in mutant.text
        assert ") -> int | str:" in mutant.text
        assert '"""1 + 1 of b n -> n b."""' in mutant.text
        assert "c: int | None = a\n" in mutant.text or mutant.operator == "DeleteStatement"


def test_only_the_lines_between_the_marks() -> None:
    """Catches a mutant of what is given to the learner, and a region that is read past its end."""
    assert answer_lines(PROGRAM) == {7, 8}
    found = mutants(PROGRAM, answer_lines(PROGRAM))
    assert {mutant.line for mutant in found} <= {7, 8}
    assert "if c > b: -> if c <= b:" in {mutant.change for mutant in found}
    wrong_half = "# answer: the bug\nx = 1\n# instead of:\n# x = 2\n# end of answer\n"
    assert answer_lines(wrong_half) == {2}


def test_each_mutant_is_another_program() -> None:
    """Catches a mutant that comes twice, one that does not compile, and two that are told by the same words."""
    found = mutants("x = f(1, 2, a=3)\nx = f(1, 2, a=3)\ny = lambda *, a: a\n")  # a star that is no product
    assert len({mutant.text for mutant in found}) == len({mutant.change for mutant in found}) == len(found) > 8
    for mutant in found:
        compile(mutant.text, "mutant", "exec")


@pytest.mark.parametrize("operator", [DeleteStatement(), DeleteKeywordArgument(), SwapAxes()])
def test_our_operators_do_as_their_examples(operator: object) -> None:
    """Catches an operator of ours that changes another place, or leaves half of it."""
    for example in operator.examples():
        text = mutate_code(example.pre_mutation_code, operator, example.occurrence)
        assert re.sub(r"\s", "", text) == re.sub(r"\s", "", example.post_mutation_code)


def test_a_forgotten_line_keeps_its_place() -> None:
    """Catches a deletion that takes the indentation, and with it the program, apart."""
    (mutant,) = [m for m in mutants("if a:\n    # why\n    f(b)\n") if m.operator == "DeleteStatement"]
    assert mutant.text == "if a:\n    # why\n    pass\n"


def test_a_draw_is_the_same_each_time() -> None:
    """Catches a sample that another run would not find again, and an empty one."""
    found = mutants(PROGRAM)
    assert drawn(found, 0.5, 3) == drawn(found, 0.5, 3) != drawn(found, 0.5, 4)
    assert len(drawn(found, 0.001, 0)) == 1
    assert drawn(found, 1.0, 0) == found


def test_what_is_caught_and_what_is_not(planted: Solution, tmp_path: Path) -> None:
    """Catches a judge that lets everything pass, or nothing: the program as it stands, a hole, a mistake, a hang."""
    by_change = {mutant.change: mutant.text for mutant in mutants(PROGRAM)}

    def caught_by(text: str, seconds: float = 60.0) -> str:
        return planted.judge(text, tmp_path / "answers", seconds).caught_by

    assert caught_by(PROGRAM) == ""
    assert caught_by(by_change["if c > b: -> if c >= b:"]) == ""  # the larger of two equal ones was never asked for
    assert caught_by(by_change["if c > b: -> if c < b:"]) == "test_of_two_it_is_the_larger: AssertionError"
    assert caught_by("larger = None +").startswith("does not load")
    assert caught_by(ENDLESS, seconds=3.0) == "did not end within 3 s"


def test_a_judge_that_fails_catches_nothing(planted: Solution, tmp_path: Path) -> None:
    """Catches trouble of the judge's own, tests that do not load for instance, that is taken for a verdict."""
    planted.specification.write_text("import nothing_of_that_name\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="nothing_of_that_name"):
        planted.judge(PROGRAM, tmp_path / "answers", 60.0)


def test_a_run_goes_on_where_it_was_stopped(planted: Solution, tmp_path: Path) -> None:
    """Catches a verdict that is forgotten, and one that outlives the tests that came to it."""
    mutant, tests = mutants(PROGRAM)[0], fingerprint(planted.tests)
    session = Session(tmp_path / "results.jsonl")
    session.keep(planted, mutant, tests, "test_a", 0.1)
    again = Session(tmp_path / "results.jsonl")
    assert again.record(planted, mutant, tests) == session.record(planted, mutant, tests) is not None
    assert again.record(planted, mutant, "other tests") is None
    assert Session(tmp_path / "results.jsonl", survivors=True).record(planted, mutant, "other tests") is not None


def test_the_score_leaves_out_what_changes_nothing() -> None:
    """Catches a survivor without a reason that counts as caught, and a reason that hides a caught mutant."""

    def record(change: str, caught_by: str) -> Record:
        return Record("f.py", change, "", "", 1, change, caught_by, 0.0)

    records = [record(change, "test_a" if change == "a" else "") for change in "abcd"]
    groups = [Group("f.py", "it is the same", ("a", "b"), is_equivalent=True), Group("f.py", "a hole", ("c",), False)]
    row = counted("f", Judged(records, 9), groups)
    assert row == Row("f", of=9, mutants=4, caught=1, equivalent=1, missed=2)
    assert row.cells() == ("f", "4 of 9", "1", "1", "2", "33.3%")
