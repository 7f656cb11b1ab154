"""What e36 test of multi head must do. Your properties are tested here, on modules that are known to be right or wrong.

The right ones are the solution to e08, its variants and the library's module; the wrong ones are those that learners
have made. Your properties meet each of them on its own.
"""

from attn_lab.course.properties import examined, require_one_argument


def test_the_properties_run(answer):
    """A property takes one argument, multi_head, and on a right module it does not crash."""
    require_one_argument(answer, ["multi_head"])
    examined(answer, "multi_head").require_it_runs()


def test_a_property_says_no_by_raising(answer):
    """A property returns nothing: what it has to say it says by AssertionError."""
    examined(answer, "multi_head").require_silence()


def test_every_right_module_is_accepted(answer):
    """No property has anything against a right implementation, whichever way it is written."""
    examined(answer, "multi_head").require_right_ones_are_accepted()


def test_every_wrong_module_is_refused(answer):
    """Of every known mistake in multi-head attention there is a property that refuses it."""
    examined(answer, "multi_head").require_wrong_ones_are_refused()


def test_each_property_can_fail(answer):
    """Each property refuses something: one that nothing can break tests nothing."""
    examined(answer, "multi_head").require_each_is_of_use()


def test_the_verdict_is_the_same_each_time(answer):
    """Other random numbers change nothing, and neither does another order: a test that is lucky is no test."""
    examined(answer, "multi_head").require_the_same_each_time()
