"""Evaluation sets out of a catalogue: which items, in which split, in which order."""

import ast
import re
from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from fashionprobe.errors import UserError, missing, unknown_name

QUERY_METHODS = ("isin", "str", "contains", "startswith", "endswith", "match", "fullmatch", "len", "lower", "upper")


def select(
    items: pd.DataFrame,
    *,
    where: str | None = None,
    label: str | None = None,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the chosen items, in the order of the catalogue.

    Args:
        items: One row per image, string columns.
        where: A pandas query over the columns, such as "gender == 'Women' and pattern != ''".
        label: The column that `classes` and `per_class` are about; items without this label are left out.
        classes: The classes to keep.
        per_class: At most this many items of each class, drawn with the seed.
        seed: Seed of the draw.

    Raises:
        UserError: If the query is not valid or selects nothing, or a column or class is not there.
    """
    if where is not None:
        items = matching(items, where)
    if label is None:
        if classes is not None or per_class is not None:
            named = "classes" if classes is not None else "per_class"
            raise missing("label", f"`{named}` needs one", "Pass --label COLUMN.")
    else:
        if label not in label_columns(items):
            raise unknown_name("label", label, label_columns(items), what="a label column")
        items = items[items[label] != ""]
    if classes is not None and label is not None:
        there = sorted(items[label].unique())
        for name in classes:
            if name not in there:
                listing = "Without --classes all are taken, and items.csv lists them."
                raise unknown_name("classes", name, there, what=f"a class of {label}", listing=listing)
        items = items[items[label].isin(list(classes))]
    if per_class is not None:
        if per_class < 1:
            raise UserError("per_class", expected="an int in the range [1, inf)", received=per_class)
        rank = shuffled(items, seed).groupby(label, sort=False).cumcount()
        items = items[rank.reindex(items.index) < per_class]
    if items.empty:
        raise UserError(
            "where, label, classes", expected="a choice that keeps an item", received="one that keeps none",
            remedy="Leave one of them out.",
        )  # fmt: skip
    return items


def label_columns(items: pd.DataFrame) -> list[str]:
    """Return the columns that hold labels."""
    return [column for column in items.columns if column not in ("id", "split")]


def shuffled(items: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the items in an order that the seed fixes."""
    return items.iloc[np.random.default_rng(seed).permutation(len(items))]


def assign_splits(
    items: pd.DataFrame,
    parts: Sequence[float],
    *,
    label: str | None = None,
    contents: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> pd.Series:
    """Draw a split for each item, stratified by the label.

    Systematic sampling: the items are sorted by class in random order within a class, and every n/k-th goes to a
    split of k items. So the totals are exact, rounded to whole items, and each class gets its share of test and val
    to within one item or little more, and the rest for train. Copies of one picture then follow the first of them, or
    a network would be tested on a picture that it was trained on.

    Args:
        items: One row per image.
        parts: Sizes of train, val and test in any unit: shares, percent or numbers of images.
        label: Column to stratify by; None draws at random.
        contents: A key for each row; rows with the same key hold the same picture. None when no two do.
        seed: Seed of the draw.

    Returns:
        "train", "val" or "test" for each row.

    Raises:
        UserError: If `parts` are not three numbers >= 0 with a sum > 0.

    Reference:
        Cochran, Sampling Techniques, 3rd ed. 1977, chapter 8.
    """
    parts = check_parts(parts)
    order = shuffled(items, seed)
    if label is not None:
        order = order.sort_values(label, kind="stable")
    split = pd.Series("train", index=order.index)
    rest, left = order.index, sum(parts)
    for name, part in (("test", parts[2]), ("val", parts[1])):
        chosen = _every(len(rest), round(len(rest) * part / left))
        split[rest[chosen]] = name
        rest, left = rest[~chosen], left - part
        if left <= 0:
            break
    split = split.reindex(items.index)
    return split if contents is None else split.groupby(list(contents), sort=False).transform("first")


def check_parts(parts: Sequence[float]) -> list[float]:
    """Return the sizes of train, val and test.

    Raises:
        UserError: If `parts` are not three numbers >= 0 with a sum > 0.
    """
    parts = [float(part) for part in parts]
    if len(parts) != 3 or min(parts) < 0 or not 0 < sum(parts) < float("inf"):
        raise UserError(
            "split", expected="three numbers >= 0, the parts of train, val and test", received=parts,
            remedy="For example --split [80,10,10].",
        )  # fmt: skip
    return parts


def _every(total: int, count: int) -> np.ndarray:
    """Return a bool mask of `count` positions spread evenly over `total`."""
    steps = np.arange(total + 1) * count // max(total, 1)
    return np.diff(steps) > 0


def matching(items: pd.DataFrame, where: str, *, argument: str = "where") -> pd.DataFrame:
    """Return the items for which a pandas query is true.

    Args:
        items: One row per image, string columns.
        where: The query.
        argument: What it is called in messages.

    Raises:
        UserError: If the query is not valid, or true for none.
    """
    chosen = keeps(items, where, argument=argument)
    if not chosen.any():
        raise UserError(
            argument, expected="a query that keeps an item", received=f"{where!r}, which keeps none",
            remedy="Values are text and their case counts: year == '2012'.",
        )  # fmt: skip
    return items[chosen]


def keeps(items: pd.DataFrame, where: str, *, argument: str = "where") -> "pd.Series[bool]":
    """Return for which items a pandas query is true, as `matching` reads it; it may be true for none.

    Raises:
        UserError: If the query is not valid.
    """
    _check_query(where, argument)
    try:
        chosen = _with_numbers(items, where, argument).eval(where, engine="python")
    except UserError:
        raise
    except Exception as error:  # pandas raises SyntaxError, NameError, TypeError, KeyError and errors of its own
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            argument, expected=f"a pandas query over the columns {', '.join(items.columns)}",
            received=f"{where!r} ({message})",
            remedy="Columns are text, year == '2012', or numbers where they are compared with one, price < 30. Names "
            "that Python reserves stand in backticks: `class`.",
        ) from error  # fmt: skip
    if not isinstance(chosen, pd.Series) or chosen.dtype != bool:
        raise UserError(
            argument, expected="a condition, true or false for each image", received=repr(where),
            remedy="Compare with ==, not with =.",
        )  # fmt: skip
    return chosen


def _with_numbers(items: pd.DataFrame, where: str, argument: str) -> pd.DataFrame:
    """Return the items with those columns as numbers that a query compares with a number; missing ones are NaN."""
    quoted: dict[str, str] = {}

    def name_of(match: re.Match[str]) -> str:
        return quoted.setdefault(match[0], f"quoted_{len(quoted)}")

    try:
        tree = ast.parse(re.sub("`[^`]*`", name_of, where).strip(), mode="eval")
    except (SyntaxError, ValueError):
        return items  # pandas finds the words for it
    names = {plain: quote.strip("`") for quote, plain in quoted.items()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(map(_is_number, (node.left, *node.comparators))):
            for side in (node.left, *node.comparators):
                column = names.get(side.id, side.id) if isinstance(side, ast.Name) else ""
                if column in items:
                    items = items.assign(**{column: _numbers(items[column], column, argument)})
    return items


def _is_number(node: ast.expr) -> bool:
    node = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def _numbers(column: pd.Series, name: str, argument: str) -> pd.Series:
    found = pd.to_numeric(column, errors="coerce")
    words = column[found.isna() & (column.astype(str).str.strip() != "")]
    if len(words):
        raise UserError(
            argument, expected=f"a comparison of {name} with text, as it does not hold numbers alone",
            received=f"one with a number, and {len(words)} values such as {words.iloc[0]!r}",
            remedy=f"Compare with text: {name} == '{words.iloc[0]}'.",
        )  # fmt: skip
    return found


def _check_query(where: str, argument: str) -> None:
    """Refuse what would let a query, which may come with somebody else's config, reach beyond the table."""
    if "@" in where or "__" in where:
        raise UserError(argument, expected="a query over the columns, without '@' and '__'", received=repr(where))
    try:
        # A name in backticks may hold anything, so it is none of Python's.
        tree = ast.parse(re.sub("`[^`]*`", "name", where).strip(), mode="eval")
    except (SyntaxError, ValueError):
        return  # pandas finds the words for it
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr not in QUERY_METHODS:
            raise UserError(
                argument, expected=f"a query without other methods than {', '.join(QUERY_METHODS)}",
                received=f"{where!r}, with {node.attr}",
            )  # fmt: skip
