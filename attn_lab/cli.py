"""The command line. Commands import what they need when they run, so that --help answers at once."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from attn_lab.course import commands

if TYPE_CHECKING:
    from attn_lab.training import Settings

app = typer.Typer(
    help="""Learn attention by building it: exercises that say what is wrong, and a language model to train.

    Begin with attn-lab init, then attn-lab watch. To see a training first: attn-lab train
    """,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench = typer.Typer(help="Measure, side by side in one run.", no_args_is_help=True)
PANEL = "Training"
commands.register(app)
app.add_typer(bench, name="bench", rich_help_panel=PANEL)

console = Console()
errors = Console(stderr=True)

Device = Annotated[str, typer.Option(help="auto (cuda, then mps, then cpu), cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option(help="fp32, or bf16: bfloat16 where it is safe (autocast).")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder with the corpus's files, instead of a download (or set ATTN_LAB_DATA).")
]
RunArgument = Annotated[Path, typer.Argument(help="The folder of a run.", metavar="RUN")]
RUNS = Path("runs")


@app.command(rich_help_panel=PANEL)
def train(
    corpus: Annotated[
        str | None, typer.Option(help="pydoc (embedded, the default), toy, ptb, or a folder with train/valid/test.txt.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="notebook or quick; the default is notebook for ptb and quick for the others.")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="basic_english (the default) or words_eos.")] = None,
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
    ignore_preflight: Annotated[
        bool, typer.Option("--ignore-preflight", help="Train although a check failed; the report says so.")
    ] = False,
) -> None:
    """Train a language model: preflight, epochs with validation, test, report.

    With no options: a small model on English text that ships with Python, in about a minute.

    The full training of the notebook, on Penn Treebank: attn-lab train --corpus ptb --recipe notebook
    """
    from attn_lab.own_parts import own_parts
    from attn_lab.training import RunFolder
    from attn_lab.training import train as run_training
    from attn_lab.training.run_folder import latest_run, new_run_path

    if resume:
        run = run or latest_run(RUNS)
    settings = _settings(run if resume else None, corpus, recipe, tokenizer)
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
    run = run or new_run_path(RUNS, Path(settings.corpus).name, settings.recipe.name)
    console.print(f"run: {run}", highlight=False, soft_wrap=True)
    for line in own.lines:
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
        return Settings(recipe(recipe_name or ("notebook" if corpus == "ptb" else "quick")), corpus, tokenizer)
    settings = Settings.from_dict(RunFolder.existing(resumed).read_config())
    given = {"corpus": corpus, "tokenizer": tokenizer, "recipe": recipe(recipe_name) if recipe_name else None}
    return replace(settings, **_chosen(given))


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    """Without those that were left out."""
    return {name: value for name, value in options.items() if value is not None}


@app.command(rich_help_panel=PANEL)
def evaluate(
    run: RunArgument,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    device: Device = "auto",
    precision: Precision = "fp32",
    data_dir: DataDir = None,
) -> None:
    """Loss and perplexity of a run's best weights on a text of its corpus."""
    from attn_lab.choices import check_choice
    from attn_lab.training.progress import perplexity
    from attn_lab.training.saved_run import load_run

    check_choice("split", split, ("train", "valid", "test"))
    loss, per_word = load_run(run, device, precision).evaluate(split, str(data_dir) if data_dir else None)
    console.print(
        f"{split}: {loss:.4f} nats per token, perplexity {perplexity(loss):,.2f}, {per_word:.4f} nats per raw word",
        highlight=False,
    )


@app.command(rich_help_panel=PANEL)
def generate(
    run: RunArgument,
    prompt: Annotated[str, typer.Option(help="The beginning of the text.")],
    tokens: Annotated[int, typer.Option(help="How many tokens to write.", min=0)] = 50,
    temperature: Annotated[
        float, typer.Option(help="Below 1: safer words; above: wilder; 0: always the likeliest.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Choose among this many likeliest tokens only.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed writes the same text.")] = None,
    device: Device = "auto",
) -> None:
    """Let a run's best weights write on from a prompt."""
    from attn_lab.training.saved_run import load_run

    text = load_run(run, device).generate(prompt, tokens, temperature=temperature, top_k=top_k, seed=seed)
    console.print(text, highlight=False, markup=False)


@app.command(rich_help_panel=PANEL)
def report(run: RunArgument) -> None:
    """Write a run's report and curves again, of as much of it as there is."""
    from attn_lab.training.report import write_report
    from attn_lab.training.run_folder import RunFolder

    folder = RunFolder.existing(run)
    write_report(folder)
    console.print(f"report: {folder.report_file}", highlight=False, soft_wrap=True)


@app.command(rich_help_panel=PANEL)
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


@bench.command("attention")
def bench_attention(
    lengths: Annotated[str, typer.Option(help="Lengths of the text, tokens, with commas.")] = (
        "256,512,1024,2048,4096,8192,16384"
    ),
    window: Annotated[int, typer.Option(help="Keys that a windowed query sees, its own counted.", min=2)] = 128,
    batch: Annotated[int, typer.Option(help="Examples.", min=1)] = 1,
    heads: Annotated[int, typer.Option(help="Heads.", min=1)] = 8,
    width: Annotated[int, typer.Option(help="Width of a head.", min=1)] = 64,
    rounds: Annotated[int, typer.Option(help="How often each takes its turn.", min=1)] = 5,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    out: Annotated[Path | None, typer.Option(help="Folder for the tables, the numbers and the pictures.")] = None,
) -> None:
    """Time and memory against length: ours, PyTorch's and two packages' attention, causal and windowed.

    Each answer is compared with the others' first. The packages are the extra: pip install "attn-lab[bench]"
    """
    from attn_lab.bench.attention_report import show_attention
    from attn_lab.bench.contenders import Shape
    from attn_lab.choices import check_choice
    from attn_lab.training.devices import resolve_device

    check_choice("dtype", dtype, ("float32", "bfloat16", "float16"))
    ns = [int(n) for n in lengths.split(",")]
    show_attention(console, Shape(batch, heads, max(ns), width, window), ns, rounds, resolve_device(device), dtype, out)


@bench.command("feedback")
def bench_feedback(
    rounds: Annotated[int, typer.Option(help="How often each is measured, in turns.", min=1)] = 7,
    out: Annotated[Path | None, typer.Option(help="Also write the table to this file, as Markdown.")] = None,
) -> None:
    """How long a learner waits: pytest on one exercise, watch after a save, all solutions through all tests."""
    from attn_lab.bench.feedback import show_feedback

    show_feedback(console, rounds, out)


@bench.command("train")
def bench_train(
    recipe: Annotated[str, typer.Option(help="Whose shapes; the vocabulary is Penn Treebank's.")] = "notebook",
    device: Device = "auto",
    rounds: Annotated[int, typer.Option(help="How often each model takes its turn.", min=1)] = 15,
    out: Annotated[Path | None, typer.Option(help="Also write the tables to this file, as Markdown.")] = None,
) -> None:
    """A training step, float32 and bf16: ours (einsum, fused) against nn.TransformerEncoder, taking turns."""
    from attn_lab.bench.report import show_training
    from attn_lab.training.devices import resolve_device
    from attn_lab.training.recipes import recipe as find

    show_training(console, find(recipe), resolve_device(device), rounds, out)


@app.command(rich_help_panel="Measurements")
def cost(
    n: Annotated[int, typer.Option("--n", help="Tokens of the text.", min=1)] = 4096,
    batch: Annotated[int, typer.Option(help="Examples.", min=1)] = 1,
    heads: Annotated[int, typer.Option(help="Heads.", min=1)] = 8,
    width: Annotated[int, typer.Option(help="Width of a head.", min=1)] = 64,
    window: Annotated[int, typer.Option(help="Keys that a windowed query sees.", min=1)] = 128,
    block: Annotated[int, typer.Option(help="Keys at a time, of the online softmax.", min=1)] = 128,
    number: Annotated[int, typer.Option(help="Bytes of a number: 4 for float32, 2 for bfloat16.")] = 4,
    memory: Annotated[float, typer.Option(help="GiB to fit into.")] = 8.0,
    out: Annotated[Path | None, typer.Option(help="Also write the tables to this file, as Markdown.")] = None,
) -> None:
    """What one attention costs: FLOPs, bytes and the largest tensor of each form, and the longest text that fits.

    Formulas, not measurements; for those: attn-lab bench attention
    """
    from attn_lab.cost_table import show_cost
    from attn_lab.efficient.cost import Sizes

    show_cost(console, Sizes(batch, heads, n, width, window, block, number), memory, out)


def main() -> None:
    """The entry point: an error that the user can mend is one line, without a traceback."""
    try:
        app()
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Print what a user can mend and return the exit status; raise anything else again."""
    training = sys.modules.get("attn_lab.training.interrupt")  # not imported for the sake of asking: it takes seconds
    if training is not None and isinstance(error, training.Interrupted):
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 130
    if isinstance(error, ValueError | OSError | ImportError):
        errors.print(f"attn-lab: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    raise error
