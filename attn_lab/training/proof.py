"""The preflight's verdict: a run whose parts are not proven does not start."""

from rich.console import Console

from attn_lab.checks import CheckResult


class PreflightFailed(ValueError):
    """A part is not what it should be, so the run did not start."""


def judge(results: list[CheckResult], console: Console, *, ignore: bool) -> None:
    """Say how many checks passed.

    Raises:
        PreflightFailed: some did not, and they are not to be ignored; each is named.
    """
    failed = [result for result in results if not result.passed]
    summary = f"preflight: {len(results) - len(failed)} of {len(results)} checks passed"
    console.print(f"{summary} in {sum(result.seconds for result in results):.1f} s", highlight=False)
    if failed and not ignore:
        first = f"{summary}; the run was not started (--ignore-preflight overrides this, and the report will say so)"
        raise PreflightFailed("\n".join([first] + [f"  {r.subject}: {r.name}: {r.message}" for r in failed]))
