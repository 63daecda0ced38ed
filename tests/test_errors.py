import errno
import sys

import pytest

from fashionprobe.errors import (
    Busy,
    UserError,
    busy,
    check_one,
    conflict,
    missing,
    nearest,
    require,
    system_error,
    unknown_name,
)  # fmt: skip


def test_message_has_four_parts():
    error = UserError("folds", expected="an int in the range [2, inf)", received=1, remedy="Pass --folds 5.")
    assert str(error) == "`folds` must be an int in the range [2, inf). Received: 1. Pass --folds 5."
    assert error.argument == "folds"
    assert isinstance(error, ValueError)


def test_each_situation_has_a_sentence_of_its_own():
    told = [missing("label", "`classes` needs one", "Pass it."), conflict("block", "--layer", 5), busy("runs/x/see")]
    assert [str(error) for error in told] == [
        "`label` is missing: `classes` needs one. Pass it.",
        "`block` cannot be combined with --layer. Received: 5. Leave `block` out.",
        "`runs/x/see` is being written by another process. Wait until it is done.",
    ]
    assert all(isinstance(error, UserError) for error in told) and isinstance(told[-1], Busy)
    assert [error.argument for error in told] == ["label", "block", "runs/x/see"]


def test_exactly_one_of_several_arguments():
    check_one(image="x", id=None)
    text = "`image` or `id` must be given, and only one of them. Received: "
    for given, received in (({"image": None, "id": None}, "none of them"), ({"image": "x", "id": "y"}, "image and id")):
        with pytest.raises(UserError, match=text + received):
            check_one(**given)


def test_a_package_that_is_not_installed_is_also_an_import_error(monkeypatch):
    assert require("errno", extra="x", purpose="y") is errno
    monkeypatch.setitem(sys.modules, "absent", None)
    for kind in (UserError, ImportError):
        with pytest.raises(kind) as told:
            require("absent.part", extra="app", purpose="the page", remedy="Or do without.")
        assert str(told.value) == (
            "`absent` is needed for the page, and is not installed. "
            "Install it: pip install 'fashionprobe[app]'. Or do without."
        )


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


def test_where_there_is_no_name_at_all_it_says_so():
    error = unknown_name("label", "colour", [], what="a label column")
    assert str(error) == "`label` must be a label column, and there is none. Received: colour."
