"""Train a language model, and see whether this machine and the parts are fit for it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from attn_lab.commands.options import DataDir, Device, Precision

if TYPE_CHECKING:
    from attn_lab.training import Settings

console = Console()
PANEL = "Training"
RUNS = Path("runs")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (train, recipes, doctor):
        app.command(rich_help_panel=PANEL)(command)


def train(
    corpus: Annotated[
        str | None, typer.Option(help="pydoc (embedded, the default), toy, ptb, or a folder with train/valid/test.txt.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="See attn-lab recipes; the default is notebook for ptb and quick for the others.")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="basic_english or words_eos, instead of the recipe's.")] = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    run: Annotated[Path | None, typer.Option(help="Folder to write to [default: a new one under runs/].")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped: --run's, or the latest under runs/.")
    ] = False,
    data_dir: DataDir = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    embedding_scale: Annotated[
        bool | None,
        typer.Option(
            "--embedding-scale/--no-embedding-scale",
            help="The paper's √d on the embedding; without: the notebook's slip.",
        ),
    ] = None,
    parts: Annotated[
        Path | None,
        typer.Option(help="Parts of your own to train with: a Python file, or the course's folder (exercises)."),
    ] = None,
    save_every: Annotated[int, typer.Option(help="Steps between two checkpoints.", min=1)] = 200,
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile", help="Compile the step: some minutes first, then faster. Needs a compiler."
        ),
    ] = None,
    tracker: Annotated[
        str | None, typer.Option(help='Also show the losses in tensorboard: pip install "attn-lab[tensorboard]".')
    ] = None,
    ignore_preflight: Annotated[
        bool, typer.Option("--ignore-preflight", help="Train although a check failed; the report says so.")
    ] = False,
) -> None:
    """Train a language model: preflight, epochs with validation, test, report.

    With no options: a small model on English text that ships with Python, in about a minute.

    The full training of the notebook, on Penn Treebank: attn-lab train --corpus ptb --recipe notebook

    On several GPUs: accelerate launch -m attn_lab train …, on several processors: torchrun -m -- attn_lab train …
    """
    from attn_lab.own_parts import own_parts
    from attn_lab.training import RunFolder
    from attn_lab.training import train as run_training
    from attn_lab.training.devices import resolve_device
    from attn_lab.training.models import left_out
    from attn_lab.training.processes import agreed, is_first
    from attn_lab.training.run_folder import latest_run, new_run_path

    if resume:
        run = run or latest_run(RUNS)
    settings = _settings(run if resume else None, corpus, recipe, tokenizer)
    settings = replace(settings, **_chosen({"compile": compile, "tracker": tracker}))
    changes = {"epochs": epochs, "seed": seed, "scale_embedding": embedding_scale}
    settings = replace(
        settings,
        recipe=replace(settings.recipe, **_chosen(changes)),
        device=device,
        precision=precision,
        data_dir=str(data_dir.resolve()) if data_dir else settings.data_dir,
        parts_file=str(parts.resolve()) if parts else settings.parts_file,
        save_every=save_every,
        ignore_preflight=ignore_preflight,
    )
    trained_with = RunFolder(run).read_config().get("replaced_parts") if run and resume else None
    own = own_parts(settings.parts_file, norm_first=settings.recipe.norm_first, trained_with=trained_with)
    run = run or agreed(
        lambda: new_run_path(RUNS, Path(settings.corpus).name, settings.recipe.name), resolve_device(device)
    )
    unused = [
        f"{name}: proven, and left out of this recipe's model, which has {settings.recipe.positions} positions"
        for name in left_out(settings.recipe, own.parts)
    ]
    for line in (f"run: {run}", *own.lines, *unused) if is_first() else ():
        console.print(line, highlight=False, soft_wrap=True)
    run_training(
        replace(settings, preflight_masks=own.masks),
        RunFolder(run),
        parts=own.parts,
        batches=own.batches,
        resume=resume,
        console=console,
    )


def _settings(resumed: Path | None, corpus: str | None, recipe_name: str | None, tokenizer: str | None) -> "Settings":
    """From the options; what they leave open is the resumed run's, or else the default."""
    from attn_lab.training import RunFolder, Settings, recipe

    if resumed is None:
        corpus = corpus or "pydoc"
        chosen = recipe(recipe_name or ("notebook" if corpus == "ptb" else "quick"))
        of_recipe = None if corpus == "toy" else chosen.tokenizer  # the toy corpus has one of its own
        return Settings(chosen, corpus, tokenizer or of_recipe)
    settings = Settings.from_dict(RunFolder.existing(resumed).read_config())
    given = {"corpus": corpus, "tokenizer": tokenizer, "recipe": recipe(recipe_name) if recipe_name else None}
    return replace(settings, **_chosen(given))


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    """Without those that were left out."""
    return {name: value for name, value in options.items() if value is not None}


def recipes() -> None:
    """Show the recipes: model, parameters, work, and the perplexity that each was seen to reach."""
    from attn_lab.training.recipe_table import show_recipes

    show_recipes(console)


def doctor(
    device: Device = "auto",
    precision: Precision = "fp32",
    parts: Annotated[
        Path | None, typer.Option(help="Parts of your own to check: a Python file, or the course's folder (exercises).")
    ] = None,
) -> None:
    """Versions, devices, and the preflight's checks as a table."""
    from attn_lab.doctor import examine
    from attn_lab.own_parts import own_parts

    healthy = examine(console, device, precision, own_parts(parts))
    raise typer.Exit(0 if healthy else 1)
