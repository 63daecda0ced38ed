"""The expert's verdict on each filter, relevant or not: its file, and how far it agrees with the ranking."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from fashionprobe.artifacts import locked, write_bytes
from fashionprobe.errors import UserError

FOLDER = "verdicts"
"""Folder of a run that holds them: a file per network, since another one numbers its filters in another way."""

PATIENCE = 10.0
"""Seconds that a save waits for another one."""

MAX_NOTE = 2000
"""Characters of a note."""

WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True)
class Verdict:
    """What somebody said of one filter.

    Attributes:
        filter: Its number, from 0.
        relevant: Whether it looks at what matters.
        note: Why.
        author: Who said so.
        time: When, ISO 8601 in UTC.
    """

    filter: int
    relevant: bool
    note: str = ""
    author: str = ""
    time: str = ""


COLUMNS = tuple(field.name for field in fields(Verdict))


def file_of(run: Path, weights_sha256: str) -> Path:
    """Return where a run keeps the verdicts on the filters of a network."""
    return run / FOLDER / f"{weights_sha256[:12]}.csv"


def read(path: Path, filters: int) -> list[Verdict]:
    """Read verdicts, in the order in which they were given.

    Args:
        path: A CSV file with the columns filter and relevant (yes or no), and perhaps note, author and time.
        filters: Number of filters of the network.

    Raises:
        UserError: If it is not such a file, or about a filter that the network does not have.
    """
    expected = "a CSV file with the columns filter and relevant (yes or no), and perhaps note"
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        received = "nothing there" if isinstance(error, FileNotFoundError) else f"an unreadable file ({error})"
        raise UserError(str(path), expected=expected, received=received) from error
    return [_read(path, number, row, filters, expected) for number, row in enumerate(rows, start=2)]


def _read(path: Path, line: int, row: Mapping[str | None, str | None], filters: int, expected: str) -> Verdict:
    missing = [name for name in ("filter", "relevant") if row.get(name) is None]
    if missing:
        raise UserError(str(path), expected=expected, received=f"no {missing[0]} in line {line}")
    number, word = str(row["filter"]).strip(), str(row["relevant"]).strip().lower()
    if not (number.isdecimal() and int(number) < filters):
        received = f"{number!r} in line {line}"
        raise UserError(str(path), expected=f"about filters in the range [0, {filters})", received=received)
    if word not in WORDS:
        raise UserError(str(path), expected="yes or no in the column relevant", received=f"{word!r} in line {line}")
    rest = {name: (row.get(name) or "").strip() for name in ("note", "author", "time")}
    return Verdict(int(number), WORDS[word], **rest)


def add(path: Path, filters: int, verdict: Verdict) -> list[Verdict]:
    """Add a verdict to a file, whole or not at all; earlier ones on the same filter stay above it.

    Args:
        path: The file; made with its folder when it is not there.
        filters: Number of filters of the network.
        verdict: The verdict; the time is now where it has none.

    Returns:
        All verdicts of the file.

    Raises:
        UserError: If the file is damaged, the filter is not there, or another process holds the folder.
        OSError: If the disk is full or the folder may not be written.
    """
    if not 0 <= verdict.filter < filters:
        raise UserError("filter", expected=f"in the range [0, {filters})", received=verdict.filter)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent, patience=PATIENCE):
        found = read(path, filters) if path.is_file() else []
        time = verdict.time or datetime.now(UTC).isoformat(timespec="seconds")
        note = " ".join(verdict.note.split())[:MAX_NOTE]
        found.append(Verdict(verdict.filter, verdict.relevant, note, verdict.author, time))
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**asdict(each), "relevant": "yes" if each.relevant else "no"} for each in found)
        write_bytes(path, text.getvalue().encode())
    return found


def latest(verdicts: list[Verdict]) -> dict[int, Verdict]:
    """Return the verdict that counts on each filter, the last one, sorted by filter."""
    return dict(sorted({each.filter: each for each in verdicts}.items()))


def fingerprint(said: Mapping[int, Verdict]) -> str:
    """Return a SHA-256 of what counts: which filters are relevant."""
    told = sorted((number, each.relevant) for number, each in said.items())
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def scores(expert: np.ndarray, ranking: np.ndarray) -> pd.DataFrame:
    """Measure the expert's verdicts against the ranking, as the classification report of the feedback thesis does.

    Args:
        expert: bool (filters,): the filters that the expert calls relevant.
        ranking: bool (filters,): those that the ranking calls relevant.

    Returns:
        The rows irrelevant, relevant and mean: verdict, precision, recall, f1, filters (by the ranking), said (by the
        expert), both. Precision is the share of what the expert calls so that the ranking does too, recall the share of
        what the ranking calls so that the expert does; each 0 where there are none. The mean is weighted by `filters`.

    Raises:
        UserError: If there is no filter, or the shapes differ.

    Example:
        >>> scores(np.array([True, True, False]), np.array([True, False, False]))["precision"].round(2).tolist()
        [1.0, 0.5, 0.83]
    """
    expert, ranking = np.asarray(expert, bool), np.asarray(ranking, bool)
    if expert.ndim != 1 or expert.shape != ranking.shape or not len(expert):
        received = f"{list(expert.shape)} and {list(ranking.shape)}"
        raise UserError("expert", expected="bool (filters,) as `ranking`, one or more", received=received)
    rows = []
    for name, is_relevant in (("irrelevant", False), ("relevant", True)):
        said, true = expert == is_relevant, ranking == is_relevant
        both = int((said & true).sum())
        precision, recall = both / max(int(said.sum()), 1), both / max(int(true.sum()), 1)
        f1 = 2 * precision * recall / (precision + recall) if both else 0.0
        rows.append((name, precision, recall, f1, int(true.sum()), int(said.sum()), both))
    table = pd.DataFrame(rows, columns=["verdict", "precision", "recall", "f1", "filters", "said", "both"])
    mean = {name: float(np.average(table[name], weights=table["filters"])) for name in ("precision", "recall", "f1")}
    sums = {name: int(table[name].sum()) for name in ("filters", "said", "both")}
    return pd.concat([table, pd.DataFrame([{"verdict": "mean", **mean, **sums}])], ignore_index=True)
