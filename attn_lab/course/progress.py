"""How far a learner is: which answers passed, as they stood then, and how many hints were seen."""

import hashlib
import json
from pathlib import Path
from typing import Any

from attn_lab.course.catalogue import Exercise, exercises
from attn_lab.files import write_text

FILE = ".progress.json"


class ProgressFile:
    """The small file in the course's folder. It holds a fingerprint of each answer that passed: an edit undoes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE
        self.state = self._read()

    def _read(self) -> dict[str, Any]:
        """An unreadable file is put aside: the answers themselves are what counts, and they can be judged again."""
        empty: dict[str, Any] = {"passed": {}, "hints": {}}
        if not self.path.is_file():
            return empty
        try:
            state = json.loads(self.path.read_text(encoding="utf-8"))
            return {key: dict(state.get(key, {})) for key in empty}
        except (ValueError, AttributeError, TypeError):
            self.path.replace(self.path.with_suffix(".broken.json"))
            return empty

    def is_done(self, exercise: Exercise) -> bool:
        """Whether the answer passed, and neither it nor its test has changed since."""
        passed = self.state["passed"].get(exercise.name)
        return passed is not None and passed == self._fingerprint(exercise)

    def done(self) -> list[Exercise]:
        """Every exercise that is done."""
        return [exercise for exercise in exercises() if self.is_done(exercise)]

    def next(self) -> Exercise | None:
        """The first exercise that is not done."""
        return next((exercise for exercise in exercises() if not self.is_done(exercise)), None)

    def record(self, exercise: Exercise, passed: bool) -> None:
        """What came of judging the answer as it stands."""
        self.state["passed"].pop(exercise.name, None)
        if passed:
            self.state["passed"][exercise.name] = self._fingerprint(exercise)
        self._write()

    def hints(self, exercise: Exercise) -> int:
        """How many hints were opened."""
        return int(self.state["hints"].get(exercise.name, 0))

    def open_hint(self, exercise: Exercise) -> int:
        """One hint more; returns how many are open now."""
        self.state["hints"][exercise.name] = self.hints(exercise) + 1
        self._write()
        return self.hints(exercise)

    def _write(self) -> None:
        write_text(self.path, json.dumps(self.state, indent=2) + "\n")

    def _fingerprint(self, exercise: Exercise) -> str:
        digest = hashlib.sha256()
        for file in (exercise.answer(self.folder), exercise.test(self.folder)):
            digest.update(file.read_bytes() if file.is_file() else b"")
            digest.update(b"\0")
        return digest.hexdigest()
