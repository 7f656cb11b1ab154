"""What `attn-lab ablate` shows and writes: the table, the numbers, and a gallery of curves for each group."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from attn_lab.ablations.gallery import draw_gallery, groups
from attn_lab.ablations.results import baselines, results, write_results
from attn_lab.ablations.table import HEADER, table
from attn_lab.ablations.variations import Variation
from attn_lab.tables import Row, show_tables
from attn_lab.training import Settings
from attn_lab.training.baselines import KNESER_NEY


def list_variations(chosen: Sequence[Variation], console: Console) -> None:
    """Their names, and what each changes."""
    rows: list[Row] = [(v.name, v.group, v.label, v.about) for v in chosen]
    show_tables(console, [("Variations", ("name", "group", "label", "what is changed"), rows)], None)


def show(settings: Settings, folder: Path, chosen: Sequence[Variation], console: Console) -> None:
    """The table on the console; ablations.md, ablations.json and a picture for each group in the folder.

    Raises:
        OSError: a file cannot be written.
    """
    found, others, recipe = results(folder, chosen), baselines(folder, chosen), settings.recipe
    epochs = "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
    title = f"{recipe.name} on {settings.corpus}, {epochs}: perplexities, and nats of validation above the recipe's"
    show_tables(console, [(title, HEADER, table(found, others))], folder / "ablations.md")
    about = {"recipe": recipe.to_dict(), "corpus": settings.corpus, "baselines": others}
    write_results(folder / "ablations.json", about, found)
    own, by_group = groups(found)
    n_gram = others.get(KNESER_NEY, {}).get("valid")
    for group, shown in by_group.items():
        draw_gallery(folder / f"{group}.png", shown, own, n_gram)
    console.print(f"numbers and pictures: {folder}", highlight=False, soft_wrap=True)
