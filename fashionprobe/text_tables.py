"""The tables that stages print: what was asked for, before where its files are."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

ABREAST = 4
"""Labels that stand beside each other; more of them do not fit a terminal."""


def by_block(
    path: Path, value: str, *, spread: str = "", lowest: bool = False, only: Mapping[str, str] | None = None
) -> list[str]:
    """Return the lines of a table: a row for each block, a column for each label, the best value of each.

    Args:
        path: A CSV file with the columns label, block, and these:
        value: The column that is compared.
        spread: A column that is shown behind it, after ±.
        lowest: Whether the lowest value is the best one.
        only: Values of other columns; the rest is passed over.
    """
    best: dict[tuple[str, str], dict[str, str]] = {}
    sign = -1 if lowest else 1
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if any(row[name] != wanted for name, wanted in (only or {}).items()):
                continue
            place = (row["label"], row["block"])
            if place not in best or sign * float(row[value]) > sign * float(best[place][value]):
                best[place] = row
    cells = {
        place: f"{float(row[value]):.3f}" + (f" ± {float(row[spread]):.3f}" if spread else "")
        for place, row in best.items()
    }
    labels, blocks = list(dict.fromkeys(label for label, _ in cells)), sorted({block for _, block in cells}, key=_order)
    lines = []
    for start in range(0, len(labels), ABREAST):
        shown = labels[start : start + ABREAST]
        rows = [[block, *(cells.get((label, block), "") for label in shown)] for block in blocks]
        lines += aligned([["block", *shown], *rows])
    return lines


def _order(block: str) -> tuple[bool, int, str]:
    """Give the place of a block: those with a number alone first, then poolings and joined blocks."""
    return (False, int(block), "") if block.isdigit() else (True, 0, block)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, with its cells below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
