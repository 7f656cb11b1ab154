"""The command line: every command, and what an error looks like."""

import sys

import typer
from rich.console import Console

from attn_lab.commands import ablating, course, measuring, reading, training

app = typer.Typer(
    help="""Learn attention by building it: exercises that say what is wrong, and a language model to train.

    Begin with attn-lab init, then attn-lab watch. To see a training first: attn-lab train
    """,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel in (course, training, ablating, reading, measuring):
    panel.register(app)

errors = Console(stderr=True)


def main() -> None:
    """The entry point: an error that the user can mend is one line, without a traceback."""
    try:
        app()
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Print what a user can mend and return the exit status; raise anything else again."""
    interrupt = sys.modules.get("attn_lab.training.interrupt")  # not imported for the sake of asking: it takes seconds
    if interrupt is not None and isinstance(error, interrupt.Interrupted):
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 130
    if isinstance(error, ValueError | OSError | ImportError):
        errors.print(f"attn-lab: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    raise error
