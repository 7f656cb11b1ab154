"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="auto (cuda, then mps, then cpu), cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option(help="fp32, or bf16: bfloat16 where it is safe (autocast).")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder with the corpus's files, instead of a download (or set ATTN_LAB_DATA).")
]
RunArgument = Annotated[Path, typer.Argument(help="The folder of a run.", metavar="RUN")]
