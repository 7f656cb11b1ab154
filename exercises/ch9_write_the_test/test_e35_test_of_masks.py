"""What e35 test of masks must do. Your properties are tested here, on masks that are known to be right or wrong.

The right ones are the solutions to e04, e05 and e06, the library's masks and PyTorch's; the wrong ones are those that
learners have made. Your properties meet each of them on its own.
"""

from attn_lab.course.properties import examined, require_one_argument

MASKS = ("causal", "padding", "sliding_window")


def test_the_properties_run(answer):
    """A property takes one argument, causal, padding or sliding_window, and on a right mask it does not crash."""
    require_one_argument(answer, MASKS)
    for mask in MASKS:
        examined(answer, mask).require_it_runs()


def test_a_property_says_no_by_raising(answer):
    """A property returns nothing: what it has to say it says by AssertionError."""
    for mask in MASKS:
        examined(answer, mask).require_silence()


def test_every_right_causal_mask_is_accepted(answer):
    """No property of causal has anything against a right implementation, whichever way it is written."""
    examined(answer, "causal").require_right_ones_are_accepted()


def test_every_wrong_causal_mask_is_refused(answer):
    """Of every known mistake in a causal mask there is a property that refuses it."""
    examined(answer, "causal").require_wrong_ones_are_refused()


def test_every_right_padding_mask_is_accepted(answer):
    """No property of padding has anything against a right implementation, whichever way it is written."""
    examined(answer, "padding").require_right_ones_are_accepted()


def test_every_wrong_padding_mask_is_refused(answer):
    """Of every known mistake in a padding mask there is a property that refuses it."""
    examined(answer, "padding").require_wrong_ones_are_refused()


def test_every_right_sliding_window_is_accepted(answer):
    """No property of sliding_window has anything against a right implementation, whichever way it is written."""
    examined(answer, "sliding_window").require_right_ones_are_accepted()


def test_every_wrong_sliding_window_is_refused(answer):
    """Of every known mistake in a sliding window there is a property that refuses it."""
    examined(answer, "sliding_window").require_wrong_ones_are_refused()


def test_each_property_can_fail(answer):
    """Each property refuses something: one that nothing can break tests nothing."""
    for mask in MASKS:
        examined(answer, mask).require_each_is_of_use()


def test_the_verdict_is_the_same_each_time(answer):
    """Other random numbers change nothing, and neither does another order: a test that is lucky is no test."""
    for mask in MASKS:
        examined(answer, mask).require_the_same_each_time()
