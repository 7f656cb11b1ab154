"""What decides a run besides its parts: written to config.json, and read back by --resume."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from attn_lab.training.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """What decides a run; written to config.json, and read back by --resume."""

    recipe: Recipe
    corpus: str = "pydoc"
    tokenizer: str | None = None
    data_dir: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    save_every: int = 200  # steps between two checkpoints
    compile: bool = False  # the step, by torch.compile
    findings: bool = True  # measure what the report looks into; later: attn-lab report --measure
    tracker: str | None = None  # where losses are shown besides metrics.jsonl
    ignore_preflight: bool = False
    preflight_masks: str = "all"  # which masks the parts are tried with; see attn_lab.checks.preflight
    parts_file: str | None = None  # or the course's folder

    def to_dict(self) -> dict[str, Any]:
        """For config.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "Settings":
        """From config.json, which holds more than the settings.

        Raises:
            ValueError: it was not written by this version.
        """
        own = {f.name: config[f.name] for f in fields(cls) if f.name in config}
        try:
            return cls(**own | {"recipe": Recipe(**config["recipe"])})
        except TypeError as error:
            version = config.get("versions", {}).get("attn-lab", "an unknown version")
            raise ValueError(
                f"expected the settings of a run of this version; {error}. Made by attn-lab {version}?"
            ) from error

    def check_same_run(self, now: "Settings", path: Path) -> None:
        """A resumed run must be the run that was stopped; only where it runs may change.

        Raises:
            ValueError: `now` is of another corpus, tokenizer or recipe.
        """
        old, new = ({"corpus": s.corpus, "tokenizer": s.tokenizer} | s.recipe.to_dict() for s in (self, now))
        names = [name for name in old if name != "about" and old[name] != new[name]]
        if names:
            raise ValueError(
                f"the run in {path} is of another recipe or corpus: it has "
                f"{', '.join(f'{name} = {old[name]!r}, not {new[name]!r}' for name in names)}. "
                "Leave these options out to resume it, or name another folder with --run"
            )
