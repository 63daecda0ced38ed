"""The HTML report: one page that needs no other file and no network."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
import numpy as np
from markupsafe import Markup, escape

from fashionprobe.errors import UserError
from fashionprobe.plots.accuracy_by_block import Curve, curves, find
from fashionprobe.plots.accuracy_by_reader import CAPTION, UNTRAINED
from fashionprobe.report import figures
from fashionprobe.report.exhibits import Room
from fashionprobe.report.headline import amount, by_label, headline, run_names
from fashionprobe.report.section import Section

__all__ = ["Section", "render"]

_SHOWN_CLASSES = 12
# A value with a short classifier; a longer one may break, or it would not fit a telephone.
_VALUE = re.compile(r"\(\d\.\d\d[^()]{0,16}\)[.,]?")


@dataclass(frozen=True)
class _Cell:
    """One value of a table: its text, its shade in [0, 1], and whether it is the best of the table."""

    text: str
    shade: float
    best: bool


def render(sections: Sequence[Section], *, title: str, command: str = "", rooms: Sequence[Room] = ()) -> str:
    """Write the report.

    Args:
        sections: Sections, shown in this order; sections of the same label are compared. None where there are rooms.
        title: Title of the page.
        command: The command that makes the report again; left out when empty.
        rooms: Figures of other stages, shown after the sections.

    Returns:
        A complete HTML page: images and style are inside, and nothing is loaded from elsewhere. The same
        sections give the same page.

    Raises:
        UserError: There is nothing to show, or a section's best block or classifier is not in its accuracy table.
    """
    if not sections and not rooms:
        raise UserError("sections", expected="one section or more", received="none")
    lead, *remarks = headline(sections) if sections else [_figures(rooms)]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fashionprobe.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["keep_values"] = _keep_values
    template = environment.get_template("report.html.j2")
    page = template.render(
        title=title,
        command=command,
        lead=lead,
        remarks=remarks,
        sections=[_view(section) for section in sections],
        glance=_glance(sections),
        rooms=rooms,
        comparisons=_comparisons(sections),
        shown_classes=_SHOWN_CLASSES,
    )
    # The macros at the top of the template leave blank lines, and a page should open with its doctype.
    return page.lstrip()


def _figures(rooms: Sequence[Room]) -> str:
    """Return the sentence on top of a page that has figures alone."""
    topics = [room.heading[0].lower() + room.heading[1:] for room in rooms]
    return f"On this page: {'; '.join(topics)}."


def _keep_values(text: str) -> Markup:
    """Escape a sentence and keep each value in brackets, such as "(0.65 ± 0.02, 4-NN)", on one line."""
    return Markup(_VALUE.sub(r'<span class="whole">\g<0></span>', str(escape(text))))


def _view(section: Section) -> dict[str, object]:
    """Gather what the template shows of one section."""
    return {
        "data": section,
        "best": amount(*section.best()),
        "classifier": section.best_curve().name,
        "families": {curve.classifier for curve in section.curves()},
        "caption": _caption(section),
        "blocks": _blocks(section),
        "table": _table(section),
        "curves": figures.block_curves(section),
        "bars": figures.class_bars(section),
        "confusion": figures.confusion_matrix(section),
        "confused": figures.confused(section),
        "samples": {name: [figures.jpeg(data) for data in files] for name, files in section.samples.items()},
        "classes": section.per_class.sort_values("accuracy", ascending=False, kind="stable").to_dict("records"),
    }


def _caption(section: Section) -> str:
    """Say how to read the accuracy by block."""
    bars = "are the standard deviation over the folds. Points of one block stand side by side."
    if section.linear is None:
        return f"Each line is a classifier; bars {bars}"
    untrained = f" {UNTRAINED}" if section.control is not None else ""
    return f"{CAPTION}{untrained} Bars {bars}"


def _blocks(section: Section) -> list[int]:
    """Return the blocks of the accuracy table, ascending."""
    return sorted({int(block) for block in section.accuracy["block"]})


def _table(section: Section) -> list[tuple[str, list[_Cell]]]:
    """Make the accuracy table: one row a classifier, one cell a block."""
    rows = []
    for curve in section.curves():
        chosen = (curve.classifier, curve.parameter) == (section.best_classifier, section.best_parameter)
        best = section.best_block if chosen else None
        rows.append((curve.name, _cells(curve, _blocks(section), best=best)))
    for name, curve in _controls(section):
        rows.append((name, _cells(curve, _blocks(section), best=None)))
    return rows


def _controls(section: Section) -> list[tuple[str, Curve]]:
    """Return what the linear probe reaches in its controls."""
    if section.linear is None:
        return []
    shuffled = section.linear.sort_values("block")
    values = (shuffled[column].to_numpy() for column in ("block", "control_mean", "control_std"))
    found = [("linear probe, shuffled labels", Curve("linear", "shuffled", *values))]
    if section.control is not None:
        found.append(("linear probe, random weights", find(curves(section.control), "linear", "nested")))
    return found


def _glance(sections: Sequence[Section]) -> list[dict[str, object]]:
    """Make the first table: one row a section, the accuracy of its best classifier at every block."""
    blocks = sorted({block for section in sections for block in _blocks(section)})
    names = {id(section): name for group in by_label(sections).values() for section, name in _named(group)}
    rows = []
    for section in sections:
        curve = section.best_curve()
        cells = _cells(curve, blocks, best=section.best_block, deviation=False)
        run = names[id(section)]
        rows.append({"label": section.label, "run": run, "classifier": curve.name, "blocks": blocks, "cells": cells})
    return rows


def _cells(curve: Curve, blocks: list[int], *, best: int | None, deviation: bool = True) -> list[_Cell]:
    """Make the cells of one row; a block that the curve lacks gets a dash."""
    cells = []
    for block in blocks:
        if block not in curve.blocks:
            cells.append(_Cell("-", 0.0, False))
            continue
        mean, std = curve.at(block)
        # The tint is the accuracy itself, so that shades compare between tables.
        shade = round(float(np.clip(np.nan_to_num(mean), 0, 1)), 2)
        cells.append(_Cell(amount(mean, std) if deviation else f"{mean:.2f}", shade, block == best))
    return cells


def _named(group: Sequence[Section]) -> list[tuple[Section, str]]:
    """Pair the sections of one label with the names of their runs."""
    return list(zip(group, run_names(group), strict=True))


def _comparisons(sections: Sequence[Section]) -> list[tuple[str, figures.Picture]]:
    """Draw, for every label of several sections, its runs in one picture."""
    drawn = [(label, figures.run_curves(group)) for label, group in by_label(sections).items() if len(group) > 1]
    return [(label, picture) for label, picture in drawn if picture is not None]
