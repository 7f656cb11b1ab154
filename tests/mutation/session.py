"""A run over many programs: every verdict is kept as it comes, and a run that was stopped goes on."""

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.mutation.judges import ROOT, PaperFile, Solution, fingerprint
from tests.mutation.mutants import Mutant, answer_lines, drawn, mutants

Target = PaperFile | Solution
PATIENCE = 20.0  # seconds beside a multiple of what the unchanged program takes


@dataclass(frozen=True)
class Record:
    """A verdict on one mutant, as it is kept."""

    file: str
    mutant: str  # fingerprint of the changed program
    tests: str  # fingerprint of the tests that judged
    operator: str
    line: int
    change: str
    caught_by: str
    seconds: float


@dataclass(frozen=True)
class Judged:
    """The verdicts on a program's mutants, and how many mutants there are."""

    records: list[Record]
    n_mutants: int


class Session:
    """`share` and `seed`: of the draw. `survivors`: what was caught once stays caught, whatever the tests are now, and
    what survived is judged again. `further`: a paper file's survivors are put to what stands on it too.
    """

    def __init__(
        self, results: Path, share: float = 1.0, seed: int = 0, survivors: bool = False, further: bool = False
    ) -> None:
        self.results, self.share, self.seed, self.survivors, self.further = results, share, seed, survivors, further
        self.known: dict[tuple[str, str], Record] = {}
        if results.is_file():
            for line in results.read_text(encoding="utf-8").splitlines():
                record = Record(**json.loads(line))
                self.known[record.file, record.mutant] = record

    def mutants(self, target: Target) -> list[Mutant]:
        """All of a program."""
        source = target.file.read_text(encoding="utf-8")
        return mutants(source, answer_lines(source) if isinstance(target, Solution) else None)

    def record(self, target: Target, mutant: Mutant, tests: str) -> Record | None:
        """The verdict, if it was come to already, by the tests of this fingerprint."""
        record = self.known.get((name_of(target), hashlib.sha256(mutant.text.encode()).hexdigest()[:16]))
        if record is None or (record.tests != tests and not (self.survivors and record.caught_by)):
            return None
        return record

    def run(self, targets: Iterable[Target], console: Console) -> None:
        """Judge what is not judged yet.

        Raises:
            ValueError: the unchanged program fails a test.
        """
        # No thread that refreshes the bar: a fork would copy its locks.
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        warm: set[type] = set()
        with (
            Progress(*columns, TimeRemainingColumn(), console=console, auto_refresh=False) as progress,
            tempfile.TemporaryDirectory() as folder,
        ):
            for target in targets:
                tests = fingerprint(target.tests)
                those = self.mutants(target)
                if self.share < 1:
                    those = drawn(those, self.share, self.seed)
                todo = [m for m in those if self._is_open(self.record(target, m, tests))]
                if not todo:
                    continue
                if type(target) not in warm:
                    target.warm_up()
                    warm.add(type(target))
                seconds = self._baseline(target, Path(folder))
                task = progress.add_task(target.name, total=len(todo))
                survived = 0
                for mutant in todo:
                    patience = 4 * seconds + PATIENCE
                    verdict = target.judge(mutant.text, Path(folder), patience, further=self.further)
                    self.keep(target, mutant, tests, verdict.caught_by, verdict.seconds)
                    survived += not verdict.caught_by
                    progress.update(task, advance=1, description=f"{target.name}: {survived} survive", refresh=True)

    def _is_open(self, record: Record | None) -> bool:
        return record is None or (self.survivors and not record.caught_by)

    def _baseline(self, target: Target, folder: Path) -> float:
        text = target.file.read_text(encoding="utf-8")
        verdict = target.judge(text, folder, 600.0)
        if verdict.caught_by:
            raise ValueError(f"{name_of(target)} fails a test as it stands: {verdict.caught_by}. Mend that first")
        return verdict.seconds

    def keep(self, target: Target, mutant: Mutant, tests: str, caught_by: str, seconds: float) -> None:
        """Note a verdict, also in the file of results."""
        record = Record(
            name_of(target),
            hashlib.sha256(mutant.text.encode()).hexdigest()[:16],
            tests,
            mutant.operator,
            mutant.line,
            mutant.change,
            caught_by,
            round(seconds, 2),
        )
        self.known[record.file, record.mutant] = record
        self.results.parent.mkdir(parents=True, exist_ok=True)
        with self.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")

    def judged(self, target: Target) -> Judged:
        """The verdicts on a program's mutants that are known."""
        tests, those = fingerprint(target.tests), self.mutants(target)
        found = [self.record(target, mutant, tests) for mutant in those]
        return Judged([record for record in found if record is not None], len(those))

    def report(self, targets: list[Target], console: Console, page: bool) -> None:
        """Tell what is known, and write it into the page if asked to."""
        from tests.mutation import report

        report.show({target.name: self.judged(target) for target in targets}, console, page)


def name_of(target: Target) -> str:
    """The file's name from the project's root."""
    return target.file.as_posix().removeprefix(f"{ROOT.as_posix()}/")
