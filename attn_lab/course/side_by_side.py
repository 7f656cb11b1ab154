"""Two tensors that should be equal, side by side: expected, yours, difference."""

import torch
from torch import Tensor

from attn_lab.checks.compare import Different

ROWS, COLUMNS = 4, 4


def side_by_side(error: Different) -> list[str]:
    """Lines to print: the last two axes around the place where the two differ most."""
    expected, actual, place = error.expected, error.actual, error.place
    axes = error.axes.split() if len(error.axes.split()) == expected.ndim else [str(k) for k in range(expected.ndim)]
    while expected.ndim > 2:
        expected, actual = expected[place[0]], actual[place[0]]
        place = place[1:]
    first = [f"{axis} = {k}" for axis, k in zip(axes, error.place[: len(axes) - expected.ndim])]
    expected, actual = _table(expected), _table(actual)
    row, column = (0, *place)[-2:] if place else (0, 0)
    rows = _around(row, expected.shape[0], ROWS)
    columns = _around(column, expected.shape[1], COLUMNS)
    parts = [_lines(t[rows, columns]) for t in (expected, actual)]
    if expected.dtype != torch.bool:
        parts.append(_lines((actual - expected)[rows, columns]))
    widths = [max(len(line) for line in part) for part in parts]
    titles = ["expected", "yours", "yours - expected"][: len(parts)]
    where = f"{', '.join(first)}: " if first else ""
    cut = "" if expected.numel() == expected[rows, columns].numel() else ", in part"
    names = " ".join(axes[-min(2, len(axes)) :])
    lines = [f"  {where}({names}){cut}"] if axes else []
    lines.append("  " + "   ".join(title.ljust(width) for title, width in zip(titles, widths)).rstrip())
    return lines + [
        "  " + "   ".join(line.ljust(max(width, len(t))) for line, width, t in zip(cells, widths, titles)).rstrip()
        for cells in zip(*parts)
    ]


def _table(tensor: Tensor) -> Tensor:
    return tensor.reshape(1, -1) if tensor.ndim < 2 else tensor


def _around(place: int, size: int, most: int) -> slice:
    start = max(0, min(place - most // 2, size - most))
    return slice(start, min(size, start + most))


def _lines(table: Tensor) -> list[str]:
    show = str if table.dtype == torch.bool or not table.is_floating_point() else "{:.3g}".format
    cells = [[show(x) for x in row] for row in table.tolist()]
    width = max((len(cell) for row in cells for cell in row), default=0)
    return [" ".join(cell.rjust(width) for cell in row) for row in cells]
