"""Two tensors that should be equal, side by side: expected, yours, difference."""

import torch
from torch import Tensor

from attn_lab.checks.compare import Different
from attn_lab.course.screen import width

ROWS, COLUMNS = 4, 4


def side_by_side(error: Different) -> list[str]:
    """Lines to print: the last two axes around the place where the two differ most."""
    expected, actual, place = error.expected, error.actual, error.place
    axes = error.axes.split() if len(error.axes.split()) == expected.ndim else []
    while expected.ndim > 2:
        expected, actual = expected[place[0]], actual[place[0]]
        place = place[1:]
    first = [f"{axis} = {k}" for axis, k in zip(axes, error.place[: len(axes) - expected.ndim]) if axis != "1"]
    where = f"{', '.join(first)}: " if first else ""
    names = " ".join(axes[-min(2, len(axes)) :])
    expected, actual = _table(expected), _table(actual)
    row, column = (0, *place)[-2:] if place else (0, 0)
    rows = _around(row, expected.shape[0], ROWS)
    for most in range(COLUMNS, 0, -1):  # as many as the terminal has room for
        columns = _around(column, expected.shape[1], most)
        lines = _beside(expected[rows, columns], actual[rows, columns])
        if max(map(len, lines)) <= width():
            break
    cut = "" if expected.numel() == expected[rows, columns].numel() else ", in part"
    return [*([f"  {where}({names}){cut}"] if axes else []), *lines]


def _beside(expected: Tensor, actual: Tensor) -> list[str]:
    """The titles, and a line for each row."""
    size = float(expected.double().abs().nan_to_num(posinf=0.0).max())
    tables = [expected, actual] if expected.dtype == torch.bool else [expected, actual, actual - expected]
    parts = [_lines(table, size) for table in tables]
    widths = [max(len(line) for line in part) for part in parts]
    titles = ["expected", "yours", "yours - expected"][: len(parts)]
    return [
        "  " + "   ".join(cell.ljust(max(width, len(t))) for cell, width, t in zip(cells, widths, titles)).rstrip()
        for cells in (titles, *zip(*parts))
    ]


def _table(tensor: Tensor) -> Tensor:
    return tensor.reshape(1, -1) if tensor.ndim < 2 else tensor


def _around(place: int, size: int, most: int) -> slice:
    start = max(0, min(place - most // 2, size - most))
    return slice(start, min(size, start + most))


def _lines(table: Tensor, size: float) -> list[str]:
    """The rows as text; a float that is nothing beside numbers of this size is shown as 0."""
    if table.is_floating_point():
        cells = [[f"{0.0 if abs(x) < 1e-12 * size else x:.3g}" for x in row] for row in table.tolist()]
    else:
        cells = [[str(x) for x in row] for row in table.tolist()]
    width = max((len(cell) for row in cells for cell in row), default=0)
    return [" ".join(cell.rjust(width) for cell in row) for row in cells]
