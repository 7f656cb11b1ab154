"""What survives and was looked at: whether it is the same program, and why; read from survivors.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

REGISTER = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True)
class Group:
    """Survivors of a file (or of all files in a folder) that have one reason; told by change, or by how it begins."""

    file: str
    why: str
    changes: tuple[str, ...]
    is_equivalent: bool
    beginning: tuple[str, ...] = ()

    def covers(self, file: str, change: str) -> bool:
        """Whether this survivor is one of them."""
        if file != self.file and not file.startswith(f"{self.file}/"):
            return False
        return change in self.changes or any(change.startswith(text) for text in self.beginning)


def groups() -> list[Group]:
    """All of the register."""
    register = tomllib.loads(REGISTER.read_text(encoding="utf-8"))
    found = []
    for kind in ("same", "missed"):
        for entry in register.get(kind, ()):
            given = entry.get("beginning", ())
            beginning = (given,) if isinstance(given, str) else tuple(given)
            found.append(Group(entry["file"], entry["why"], tuple(entry.get("changes", ())), kind == "same", beginning))
    return found
