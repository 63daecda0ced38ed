"""The report's figures as data inside the page, each with words for a reader who cannot see it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fashionprobe.plots.accuracy_by_block import Curve, accuracy_by_block, accuracy_by_run, find
from fashionprobe.plots.accuracy_by_reader import accuracy_by_reader
from fashionprobe.plots.per_class import confusion, per_class
from fashionprobe.plots.save import svg
from fashionprobe.report.headline import amount, leader, run_names
from fashionprobe.report.section import Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """An image inside the page.

    Args:
        source: The image as a data URI.
        alt: What it shows, as text.
        width: Width in CSS pixels.
        height: Height in CSS pixels.
    """

    source: str
    alt: str
    width: int
    height: int


def jpeg(data: bytes) -> str:
    """Return a JPEG file as a data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


def block_curves(section: Section) -> Picture:
    """Draw the accuracy of every classifier at every block."""
    best = section.best_curve()
    alt = (
        f"Line chart of accuracy by block for {section.label}, {len(section.curves())} classifiers. "
        f"{_values(best)}. Chance is {section.chance():.2g}."
    )
    if section.linear is not None:
        drawn = accuracy_by_reader(section.accuracy, section.linear, control=section.control, chance=section.chance())
        return _picture(drawn, alt)
    return _picture(accuracy_by_block(section.accuracy, chance=section.chance()), alt)


def run_curves(group: Sequence[Section]) -> Picture | None:
    """Draw one classifier at every block for all runs of a label.

    Args:
        group: Sections of one label.

    Returns:
        The picture, or None when fewer than two runs have a best reader of the leader.
    """
    best = leader(group)
    # The best reader of the leader may be one that no other run has, such as a linear probe; then its next.
    keys = [
        (best.best_classifier, best.best_parameter),
        *((each.classifier, each.parameter) for each, _ in best.readers()),
    ]
    for key in keys:
        found = {
            name: section
            for name, section in zip(run_names(group), group, strict=True)
            if key in [(curve.classifier, curve.parameter) for curve in section.curves()]
        }
        if len(found) > 1:
            return _run_curves(best.label, found, key)
    return None


def _run_curves(label: str, found: dict[str, Section], key: tuple[str, str]) -> Picture:
    chances = {section.chance() for section in found.values()}
    figure = accuracy_by_run(
        {name: section.accuracy for name, section in found.items()},
        classifier=key[0],
        parameter=key[1],
        # Runs with other classes have another chance: then no line is true for all.
        chance=chances.pop() if len(chances) == 1 else None,
    )
    lines = [f"Run {name}: {_values(find(section.curves(), *key))}." for name, section in found.items()]
    return _picture(figure, f"Line chart of accuracy by block for {label}, one line a run. {' '.join(lines)}")


def class_bars(section: Section) -> Picture:
    """Draw the accuracy of the classes."""
    ranked = section.per_class.sort_values("accuracy", ascending=False, kind="stable")
    first, last = ranked.iloc[0], ranked.iloc[-1]
    alt = f"Bar chart of accuracy by class for {section.label}, {len(ranked)} classes. "
    alt += f"Best: {first['class']}, {first['accuracy']:.2f}. Worst: {last['class']}, {last['accuracy']:.2f}."
    return _picture(per_class(section.per_class, chance=section.chance()), alt)


def confusion_matrix(section: Section) -> Picture:
    """Draw the confusion matrix."""
    mixed = confused(section)
    alt = f"Confusion matrix for {section.label}, {len(section.confusion)} classes. "
    alt += f"Most often: {'; '.join(mixed)}." if mixed else "No image was taken for another class."
    return _picture(confusion(section.confusion), alt)


def confused(section: Section, most: int = 3) -> list[str]:
    """Name the pairs of classes that are mixed up most often.

    Args:
        section: The section.
        most: How many pairs at most.

    Returns:
        Phrases such as "check taken for stripe (32 of 200)", most images first.
    """
    counts = section.confusion.to_numpy()
    totals = counts.sum(axis=1)
    pairs = [
        (int(counts[row, column]), row, column)
        for row in range(counts.shape[0])
        for column in range(counts.shape[1])
        if section.confusion.index[row] != section.confusion.columns[column] and counts[row, column] > 0
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    true, predicted = section.confusion.index, section.confusion.columns
    return [
        f"{true[row]} taken for {predicted[column]} ({count} of {totals[row]})" for count, row, column in pairs[:most]
    ]


def _values(curve: Curve) -> str:
    """Read a curve out loud."""
    pairs = zip(curve.blocks, curve.mean, curve.std, strict=True)
    return f"{curve.name}: " + ", ".join(f"{amount(mean, std)} at block {block}" for block, mean, std in pairs)


def _picture(figure: "Figure", alt: str) -> Picture:
    """Turn a figure into a picture of the size it was drawn for."""
    width, height = figure.get_size_inches()
    data = base64.b64encode(svg(figure)).decode("ascii")
    # A CSS inch has 96 pixels.
    return Picture(f"data:image/svg+xml;base64,{data}", alt, round(width * 96), round(height * 96))
