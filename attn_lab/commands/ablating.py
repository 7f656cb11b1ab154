"""What each part of a recipe is worth: train it with one thing changed at a time."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from attn_lab.commands.options import DataDir, Device, Precision

console = Console()
PANEL = "Training"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(rich_help_panel=PANEL)(ablate)


def ablate(
    corpus: Annotated[str, typer.Option(help="pydoc (embedded), toy, ptb, or a folder.")] = "pydoc",
    recipe: Annotated[
        str | None, typer.Option(help="What is varied; the default is modern for ptb and quick for the others.")
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Instead of the recipe's; the warm-up is shortened with them.", min=1)
    ] = 1,
    seeds: Annotated[int, typer.Option(help="Runs of the recipe itself: how much chance alone does.", min=1)] = 3,
    only: Annotated[str | None, typer.Option(help="Names of variations, with commas; see --list.")] = None,
    list_them: Annotated[bool, typer.Option("--list", help="Show the variations, and train nothing.")] = False,
    device: Device = "auto",
    precision: Precision = "fp32",
    run: Annotated[
        Path | None, typer.Option(help="Folder of all runs [default: ablate-CORPUS-RECIPE under runs/].")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Train a recipe with one thing changed at a time, bugs too: one table, and the curves.

    What is finished stays: stop it, and give the same command again to go on. The same command in a second terminal
    takes its share of the runs. With no options: in some minutes, on text that ships with Python.

    A short run says how fast each learns, not where it ends: what is there against learning by heart (dropout, tied
    weights) costs in the first epoch, and pays in the last ones.

    The table of the documentation: attn-lab ablate --corpus ptb --precision bf16
    """
    from attn_lab.ablations.running import ablate as run_all
    from attn_lab.ablations.showing import list_variations, show
    from attn_lab.ablations.variations import choose, shortened, variations
    from attn_lab.training import Settings
    from attn_lab.training import recipe as find

    base = shortened(find(recipe or ("modern" if corpus == "ptb" else "quick")), epochs)
    chosen = choose(variations(base, seeds), only)
    if list_them:
        list_variations(chosen, console)
        return
    folder = run or Path("runs") / f"ablate-{Path(corpus).resolve().name}-{base.name}"
    settings = Settings(
        base,
        corpus,
        None if corpus == "toy" else base.tokenizer,
        data_dir=str(data_dir.resolve()) if data_dir else None,
        device=device,
        precision=precision,
    )
    run_all(settings, folder, chosen, console)
    show(settings, folder, chosen, console)
