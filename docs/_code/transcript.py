"""The transcript of a newcomer's first hour: a page whose commands are run again, to write it and to check it.

A block `console` holds commands (`$ …`) and what they printed. A block `python title="FILE"` is what the newcomer
writes: it takes the place of the first line in FILE that raises NotImplementedError; where none is left, the newcomer
starts that file anew. Run `python docs/_code/transcript.py` to write the outputs as they come out today.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "course" / "transcript.md"
BLOCK = re.compile(r'^```(?:console|python title="(?P<file>[^"]+)")\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
STUB = re.compile(r"^( *)raise NotImplementedError\(.*\)\n", re.MULTILINE)
WIDTH = "90"


def replay(page: str, folder: Path) -> str:
    """The page with the outputs as they come out today; `folder` is where the newcomer begins."""
    newcomer = _Newcomer(folder)
    return BLOCK.sub(newcomer.block, page)


def without_numbers(page: str) -> str:
    """What two machines must agree on: all but the numbers, and the widths that depend on them."""
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d[\d.,:e+-]*", "#", page))


class _Newcomer:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pristine: dict[str, str] = {}

    def block(self, match: re.Match[str]) -> str:
        if match["file"]:
            self._write(match["file"], match["text"])
            return match[0]
        commands = [line[2:] for line in match["text"].splitlines() if line.startswith("$ ")]
        outputs = [f"$ {command}\n{self._run(command)}" for command in commands]
        return "```console\n" + "\n".join(output.rstrip("\n") for output in outputs) + "\n```"

    def _write(self, name: str, body: str) -> None:
        file = self.folder / name
        text = file.read_text(encoding="utf-8")
        pristine = self.pristine.setdefault(name, text)
        stub = STUB.search(text)
        if stub is None:
            text, stub = pristine, STUB.search(pristine)
        if stub is None:
            raise ValueError(f"expected a line in {name} that raises NotImplementedError; there is none")
        indented = "".join(f"{stub[1]}{line}\n" if line else "\n" for line in body.splitlines())
        file.write_text(text[: stub.start()] + indented + text[stub.end() :], encoding="utf-8")

    def _run(self, command: str) -> str:
        if command.startswith("cd "):
            self.folder /= command[3:]
            return ""
        bin_folder = str(Path(sys.executable).parent)
        environment = os.environ | {
            "PATH": bin_folder + os.pathsep + os.environ["PATH"],
            "COLUMNS": WIDTH,
            "TERM": "dumb",
            "NO_COLOR": "1",
        }
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=environment,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        lines = [
            line for line in done.stdout.splitlines() if not line.startswith("  step ")
        ]  # now and then, by the clock
        return "\n".join(lines).replace(str(REPOSITORY), "attn-lab").lstrip("\n")


def main() -> None:
    """Write the page's outputs anew."""
    with tempfile.TemporaryDirectory() as folder:
        text = replay(PAGE.read_text(encoding="utf-8"), Path(folder))
    PAGE.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
