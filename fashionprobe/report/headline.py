"""The report's opening sentences, made from the numbers: which block reads which label best."""

from collections.abc import Sequence

import numpy as np

from fashionprobe.plots.accuracy_by_block import Curve, by_reader, curves, find
from fashionprobe.report.section import Section

_LEVEL = "Level means that the ranges, mean ± standard deviation over the folds, overlap."


def headline(sections: Sequence[Section]) -> list[str]:
    """Say which block is best for which label, then what the reader must know to judge it.

    Args:
        sections: The sections of the report.

    Returns:
        One sentence that names the best block of every label, then remarks: level blocks, runs of the same
        label against each other, results that are no better than a guess.
    """
    groups = by_label(sections)
    clauses = [_clause(group, first=place == 0) for place, group in enumerate(groups.values())]
    remarks: list[str] = []
    for group in groups.values():
        remarks += _remarks(group)
    if any("are level" in remark or "level with" in remark for remark in remarks):
        remarks.append(_LEVEL)
    return [f"{', '.join(clauses)}.", *remarks]


def by_label(sections: Sequence[Section]) -> dict[str, list[Section]]:
    """Group the sections by label, in the order they were given."""
    groups: dict[str, list[Section]] = {}
    for section in sections:
        groups.setdefault(section.label, []).append(section)
    return groups


def leader(group: Sequence[Section]) -> Section:
    """Return the section that the page is about, else that with the best accuracy; the first of equals."""
    return max(group, key=lambda section: (section.subject, section.best()[0]))


def run_names(group: Sequence[Section]) -> list[str]:
    """Name the runs of one label so that no two are the same: by data set too, or number, where needed."""
    names = [section.run for section in group]
    if len(set(names)) < len(names):
        names = [f"{section.run} ({section.dataset})" for section in group]
    return [name if names.count(name) == 1 else f"{name} #{place}" for place, name in enumerate(names, 1)]


def amount(mean: float, std: float) -> str:
    """Write an accuracy with its deviation, which is left out where there is none.

    Example:
        >>> amount(0.654, 0.021), amount(0.654, float("nan"))
        ('0.65 ± 0.02', '0.65')
    """
    return f"{mean:.2f}" if np.isnan(std) else f"{mean:.2f} ± {std:.2f}"


def _clause(group: Sequence[Section], *, first: bool) -> str:
    """Name the best block of one label, and its run where the label has several."""
    best = leader(group)
    # `leader` returns the member itself, so its place gives its name.
    run = f" of run {run_names(group)[_place(group, best)]}" if len(group) > 1 else ""
    if best.linear is not None:
        return f"{best.label} {'is best read ' if first else ''}{_by_readers(best, run)}"
    value = f"({amount(*best.best())}, {best.best_curve().name})"
    return f"{best.label} {'is best read ' if first else ''}at block {best.best_block}{run} {value}"


def _by_readers(section: Section, run: str) -> str:
    """Name the best block by each reader, the better reader first."""
    clauses = []
    for curve, block in section.readers():
        where = f"at block {block}{run if not clauses else ''}"
        clauses.append(f"{where} {_by(curve)} ({amount(*curve.at(block))})")
    return " and ".join(clauses)


def _by(curve: Curve) -> str:
    return by_reader(curve.classifier, curve.parameter)


def _remarks(group: Sequence[Section]) -> list[str]:
    """Say what qualifies the best blocks of one label."""
    remarks = []
    names = run_names(group)
    best = leader(group)
    for section, name in zip(group, names, strict=True):
        if section is not best:
            remarks.append(_against(section, name, best, names[_place(group, best)]))
    for section, name in zip(group, names, strict=True):
        where = f"{section.label} in run {name}" if len(group) > 1 else section.label
        reader = where if section.linear is None else f"{where} {_by(section.best_curve())}"
        remarks += _level(section, reader) + _beaten(section, where) + _guess(section, where)
        remarks += _depth(section, where) + _controls(section, where)
    return remarks


def _level(section: Section, where: str) -> list[str]:
    """Say which blocks are as good as the best one, where there are any."""
    level = section.level_blocks()
    blocks = len(section.best_curve().blocks)
    if len(level) < 2:
        return []
    if len(level) == blocks:
        count = "both" if blocks == 2 else f"all {blocks}"
        return [f"For {where}, {count} blocks are level: none stands out."]
    return [f"For {where}, blocks {_and([str(block) for block in level])} are level."]


def _beaten(section: Section, where: str) -> list[str]:
    """Say when another classifier or block of the table scores more than the one that was called best."""
    values = [(*curve.at(int(block)), curve.name, block) for curve in section.curves() for block in curve.blocks]
    mean, std, name, block = max(values, key=lambda value: value[0])
    if mean <= section.best()[0]:
        return []
    return [f"For {where}, the highest value of all is {amount(mean, std)} ({name}, block {block})."]


def _guess(section: Section, where: str) -> list[str]:
    """Say when the best accuracy is not clearly above that of always naming the largest class."""
    mean, std = section.best()
    share = section.largest_share()
    if mean - np.nan_to_num(std) > share:
        return []
    value = amount(mean, std)
    return [f"For {where}, {value} is not clearly better than always naming the largest class ({share:.2f})."]


def _depth(section: Section, where: str) -> list[str]:
    """Say when a label fades with depth by one reader and not by the other.

    It fades when the deepest block keeps less than half of what the best one has above chance.
    """
    readers = [(curve, block, _kept(curve, block, section.chance())) for curve, block in section.readers()]
    fading = [reader for reader in readers if reader[2] < 0.5]
    lasting = [reader for reader in readers if reader[2] >= 0.5]
    if len(fading) != 1 or len(lasting) != 1:
        return []
    said = [
        f"{_by(curve)} it {verb} from {curve.at(block)[0]:.2f} at block {block} to {curve.mean[-1]:.2f} at block "
        f"{curve.blocks[-1]}, {round(100 * max(kept, 0))} % of what is above chance"
        for verb, (curve, block, kept) in (("fades", fading[0]), ("goes", lasting[0]))
    ]
    return [f"For {where}, the readers disagree on depth: {said[0]}; {said[1]}."]


def _kept(curve: Curve, block: int, chance: float) -> float:
    """Return how much of the accuracy above chance at the best block the deepest block has; 1 where there is none."""
    above = curve.at(block)[0] - chance
    return float((curve.mean[-1] - chance) / above) if above > 0 else 1.0


def _controls(section: Section, where: str) -> list[str]:
    """Say what the linear probe reaches with shuffled labels, and with random weights."""
    if section.linear is None:
        return []
    [(curve, block)] = [found for found in section.readers() if found[0].classifier == "linear"]
    row = section.linear[section.linear["block"] == block].to_dict("records")[0]
    value = amount(row["control_mean"], row["control_std"])
    said = [
        f"For {where}, the linear probe at block {block} reaches {value} with shuffled labels: "
        f"its selectivity is {row['selectivity']:.2f}."
    ]
    if section.control is not None:
        untrained = find(curves(section.control), curve.classifier, curve.parameter)
        place = int(untrained.mean.argmax())
        mean, std, (top, top_std) = untrained.mean[place], untrained.std[place], curve.at(block)
        reached = f"reaches {amount(mean, std)} at block {untrained.blocks[place]} by a linear probe"
        level = mean + np.nan_to_num(std) >= top - np.nan_to_num(top_std)
        less = f"{top - mean:.2f} less than the trained one"
        verdict = "level with the trained one: what the probe finds need not come from training" if level else less
        said.append(f"For {where}, the same network with random weights {reached}, {verdict}.")
    return said


def _against(section: Section, name: str, best: Section, best_name: str) -> str:
    """Compare a run with the best run of the same label."""
    (mean, std), (top, top_std) = section.best(), best.best()
    value = f"{amount(mean, std)} (block {section.best_block}, {section.best_curve().name})"
    if abs(top - mean) <= np.nan_to_num(std) + np.nan_to_num(top_std):
        return f"For {section.label}, run {name} is level with run {best_name}: {value}."
    difference = f"{abs(top - mean):.2f} {'less' if mean < top else 'more'}"
    return f"For {section.label}, run {name} reaches {value}, {difference} than run {best_name}."


def _place(group: Sequence[Section], wanted: Section) -> int:
    """Return the place of a section in its group."""
    return next(place for place, section in enumerate(group) if section is wanted)


def _and(words: Sequence[str]) -> str:
    """Join words as in a sentence.

    Example:
        >>> _and(["4", "5"]), _and(["1", "2", "3"])
        ('4 and 5', '1, 2 and 3')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]])
