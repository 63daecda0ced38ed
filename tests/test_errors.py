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


def test_of_many_names_the_three_nearest_are_named_and_what_lists_all():
    names = [f"name{number}" for number in range(70)]
    message = str(unknown_name("label", "nam31", names, what="a class of colour", listing="items.csv lists them all."))
    assert message == (
        "`label` must be a class of colour, of which there are 70. Received: nam31. "
        "Did you mean 'name31', 'name3' or 'name1'? items.csv lists them all."
    )
    assert str(unknown_name("label", "zzz", names, remedy="Or none.", listing="--help lists all.")) == (
        "`label` must be one of 70 names, such as name0, name1, name2. Received: zzz. Or none. --help lists all."
    )


def test_the_parts_of_a_message_are_short_and_on_one_line():
    message = str(UserError("a\nb" * 500, expected="x" * 5000, received="\x1b[31m\ud800" + "9" * 10**6))
    assert len(message) < 2000
    assert "Received: \\x1b[31m\\ud80099" in message
    assert message.isprintable()
