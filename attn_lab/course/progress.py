"""How far a learner is: which answers passed, as they stood then, and how many hints were seen."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from attn_lab.course.catalogue import Exercise, exercises
from attn_lab.files import write_text

FILE = ".progress.json"


class ProgressFile:
    """The small file in the course's folder. It holds a fingerprint of each answer that passed: an edit undoes it.

    Where it cannot be written, the course goes on without; `troubles` says so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE
        self.troubles: list[str] = []
        self.state = self._read()

    def _read(self) -> dict[str, Any]:
        """A damaged file is put aside: the answers themselves are what counts, and they can be judged again."""
        empty: dict[str, Any] = {"passed": {}, "hints": {}}
        try:
            if not self.path.is_file():
                return empty
            state = json.loads(self.path.read_text(encoding="utf-8"))
            return {key: dict(state.get(key, {})) for key in empty}
        except OSError as error:
            self._complain("cannot be read", error)
        except (ValueError, AttributeError, TypeError):
            aside = self.path.with_suffix(".broken.json")
            try:
                self.path.replace(aside)
                self.troubles.append(f"{self.path} was damaged and is now {aside.name}: what is done is judged anew")
            except OSError as error:
                self._complain("is damaged and cannot be put aside", error)
        return empty

    def is_done(self, exercise: Exercise) -> bool:
        """Whether the answer passed, and neither it nor its test has changed since."""
        passed = self.state["passed"].get(exercise.name)
        return passed is not None and passed == fingerprint(exercise.answer(self.folder), exercise.test(self.folder))

    def done(self) -> list[Exercise]:
        """Every exercise that is done."""
        return [exercise for exercise in exercises() if self.is_done(exercise)]

    def next(self) -> Exercise | None:
        """The first exercise that is not done."""
        return next((exercise for exercise in exercises() if not self.is_done(exercise)), None)

    def record(self, exercise: Exercise, passed: str | None) -> None:
        """What came of judging an answer: the fingerprint of what passed, or None."""
        self.state = self._read()  # another terminal may have written in the meantime
        self.state["passed"].pop(exercise.name, None)
        if passed is not None:
            self.state["passed"][exercise.name] = passed
        self._write()

    def hints(self, exercise: Exercise) -> int:
        """How many hints were opened."""
        number = self.state["hints"].get(exercise.name, 0)
        return number if isinstance(number, int) else 0

    def open_hint(self, exercise: Exercise, most: int) -> int:
        """One hint more, of as many as there are; returns how many are open now."""
        self.state = self._read()
        self.state["hints"][exercise.name] = min(self.hints(exercise) + 1, most)
        self._write()
        return self.hints(exercise)

    def _write(self) -> None:
        try:
            write_text(self.path, json.dumps(self.state, indent=2) + "\n")
        except OSError as error:
            self._complain("cannot be written, so progress is not kept", error)

    def _complain(self, what: str, error: OSError) -> None:
        sentence = f"{self.path} {what}: {error.strerror or error}"
        if sentence not in self.troubles:
            self.troubles.append(sentence)


def fingerprint(*files: Path) -> str:
    """Of the files' content; a file that is missing or cannot be read counts as empty."""
    digest = hashlib.sha256()
    for file in files:
        with contextlib.suppress(OSError):
            digest.update(file.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()
