import errno

import pytest

from fashionprobe.errors import UserError, nearest, system_error, unknown_name


def test_message_has_four_parts():
    error = UserError("folds", expected="an int in the range [2, inf)", received=1, remedy="Pass --folds 5.")
    assert str(error) == "`folds` must be an int in the range [2, inf). Received: 1. Pass --folds 5."
    assert error.argument == "folds"
    assert isinstance(error, ValueError)


def test_unknown_name_lists_the_valid_ones_and_suggests():
    error = unknown_name("label", "Coluor", ["colour", "pattern"], what="a label column")
    assert str(error) == "`label` must be a label column: colour, pattern. Received: Coluor. Did you mean 'colour'?"
    assert str(unknown_name("label", "xyz", ["colour"], remedy="Look again.")).endswith("Received: xyz. Look again.")


@pytest.mark.parametrize(("name", "found"), [("PAD", "pad"), ("strech", "stretch"), ("zzz", None), ("", None)])
def test_nearest(name, found):
    assert nearest(name, ["pad", "stretch"]) == found


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.npy"), ("`a.npy`", "No space left", "Free some space")),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), ("`runs`", "denied", "--runs-root")),
        (FileExistsError(errno.EEXIST, "File exists", "x"), ("`x`", "File exists", "in the way|stands where")),
        (OSError("x/.part; No space left on device"), ("`file`", "x/.part; No space", "Free some space")),
        (OSError(), ("`file`",)),
    ],
)
def test_system_errors_name_the_file_and_the_remedy(error, parts):
    message = str(system_error(error))
    assert "\n" not in message
    for part in parts:
        assert any(each in message for each in part.split("|")), message


def test_a_long_list_of_names_is_cut():
    message = str(unknown_name("label", "zzz", [f"name{number}" for number in range(70)], what="a class"))
    assert "name49 and 20 more" in message
    assert "name50" not in message
