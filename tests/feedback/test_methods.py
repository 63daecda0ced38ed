import pytest

from fashionprobe.errors import UserError
from fashionprobe.feedback import methods
from fashionprobe.feedback.methods import (
    BASE,
    LOSS_TITLES,
    LOSSES,
    REPLACEMENT_TITLES,
    REPLACEMENTS,
    RIVALS,
    choose,
    method,
)


def names(chosen):
    return [each.name for each in chosen]


def test_all_rivals_in_their_order():
    assert names(choose(["all"], method("pasa"))) == [
        "base", "pasa", "continued", "masked_images", "misclassified", "augmentation", "all_data", "with_validation",
        "telea", "navier_stokes", "generative", "crops", "noise", "dropout", "rrr", "rrr_g", "head", "pas", "pasa_head",
    ]  # fmt: skip


def test_some_rivals_and_none():
    main = method("rrr", head=True)
    assert names(choose([], main)) == names(choose(["none"], main)) == ["base", "rrr_head"]
    # In the order of the table, each once.
    assert names(choose(["pas", "continued", "pas"], main)) == ["base", "rrr_head", "continued", "pas"]
    assert choose(["none"], main)[0] is BASE


def test_the_main_method_stands_once():
    for name in RIVALS:
        chosen = names(choose(["all"], RIVALS[name]))
        assert sorted(chosen) == sorted(["base", *RIVALS])
        assert chosen[:2] == ["base", name]


def test_unknown_names():
    with pytest.raises(
        UserError, match=r"`rivals` must be one of 20 names.*Did you mean 'telea'.*fashionprobe refit --help"
    ):
        choose(["tela"], method())
    with pytest.raises(UserError, match=r"`rivals` must be .* Received: all"):
        choose(["all", "pas"], method())
    with pytest.raises(UserError, match=r"`loss` must be one of: ce, pas, .* Did you mean 'pasa'"):
        method("pasaa")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match=r"`replace` must be one of: telea, .* Did you mean 'crops'"):
        method("ce", replace="crop")


def test_every_method_that_can_be_asked_for_has_a_name_and_a_title_of_its_own():
    made = [BASE, *RIVALS.values()]
    made += [method(loss, head=head) for loss in LOSSES for head in (False, True)]
    made += [method("ce", replace=replace, head=head) for replace in REPLACEMENTS for head in (False, True)]
    by_name = {each.name: each for each in made}
    assert len({each.title for each in by_name.values()}) == len(by_name)
    assert all(by_name[each.name] == each for each in made)
    assert set(LOSS_TITLES) == set(LOSSES)
    assert tuple(REPLACEMENT_TITLES) == REPLACEMENTS


@pytest.mark.parametrize(
    ("made", "name", "title", "family", "loss"),
    [
        (method(), "pasa", "PASA", "penalty", "pasa"),
        (method("ce"), "continued", "Continued training", "reference", "ce"),
        (method("ce", head=True), "continued_head", "Continued training + head", "head", "ce"),
        (method("rrr_g", head=True), "rrr_g_head", "RRR-G + head", "head", "rrr_g"),
        (method("dropout"), "dropout", "Selective dropout", "dropout", "dropout"),
        (method("ce", replace="crops"), "crops", "Random crops", "replacement", "ce"),
        (method("ce", replace="noise", head=True), "noise_head", "Noise + head", "head", "ce"),
    ],
)
def test_what_a_method_is_made_of(made, name, title, family, loss):
    assert (made.name, made.title, made.family, made.loss) == (name, title, family, loss)
    assert made.head is name.endswith("head")
    assert made.masked is not name.startswith("continued") and made.iterate and not made.fresh and made.pool == "train"


@pytest.mark.parametrize("loss", LOSSES)
def test_a_replacement_leaves_no_mask_to_look_into(loss):
    assert method(loss, replace="telea") == RIVALS["telea"]


def test_references_see_no_mask():
    seen = {name for name, each in RIVALS.items() if not each.masked}
    assert seen == {"continued", "misclassified", "augmentation", "all_data", "with_validation"}
    assert RIVALS["misclassified"].pool == "wrong"
    assert RIVALS["with_validation"].pool == "train+val"
    assert [name for name, each in RIVALS.items() if each.fresh] == ["augmentation", "all_data"]
    assert [name for name, each in RIVALS.items() if each.augment] == ["augmentation"]
    assert [name for name, each in RIVALS.items() if not each.iterate] == ["head"]
    assert not (BASE.masked or BASE.iterate or BASE.head)
    assert methods.LOSS_TITLES["pasa"] == RIVALS["pasa"].title
