"""The classes of a label column, as the manifest of a record set tells them."""

from fashionprobe.artifacts import Artifact
from fashionprobe.errors import UserError, unknown_name


def vocabulary(records: Artifact, column: str) -> list[str]:
    """Return the classes of a label column, sorted; the number of a class is its place in this list.

    Raises:
        UserError: If there is no such column, or it has too many values to be one of classes.
    """
    columns = records.facts["columns"]
    if column not in columns:
        raise unknown_name("label", column, columns, what=f"a label column of {records.path.name}")
    if "classes" not in columns[column]:
        raise UserError(
            "label",
            expected="a column with classes",
            received=f"{column}, with {columns[column]['distinct']} values",
        )
    return sorted(columns[column]["classes"])
