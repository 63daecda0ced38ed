"""The methods that are compared: the penalties on an expert's masks, and their rivals, each with what makes it."""

from dataclasses import dataclass
from typing import Literal, get_args

from fashionprobe.errors import unknown_name

Loss = Literal["ce", "pas", "pasa", "rrr", "rrr_g", "dropout"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
"""What a refit minimises: cross-entropy alone, or with a penalty on an expert's masks."""

Family = Literal["reference", "penalty", "replacement", "dropout", "head"]
REPLACEMENTS = ("telea", "navier_stokes", "generative", "crops", "noise", "function")
"""What may fill the masked regions; "function" is the user's own."""


@dataclass(frozen=True)
class Method:
    """One way to continue from the trained network.

    Attributes:
        name: Its name in tables and options.
        title: Its name in figures.
        family: What kind it is.
        loss: What is minimised.
        masked: Whether the masked images join the batches.
        replace: What fills their masked regions; "" leaves them as they are.
        pool: What the other images of a batch are: random ones of train, 70 % wrong ones, or those of train and val.
        fresh: Whether it starts from new weights and trains as long as the network was trained.
        augment: Whether it sees images that are changed at random.
        head: Whether the last layer is fitted again at the end.
        iterate: Whether there are iterations at all.
    """

    name: str
    title: str
    family: Family
    loss: Loss = "ce"
    masked: bool = True
    replace: str = ""
    pool: Literal["train", "wrong", "train+val"] = "train"
    fresh: bool = False
    augment: bool = False
    head: bool = False
    iterate: bool = True


BASE = Method("base", "Base", "reference", masked=False, iterate=False)

LOSS_TITLES: dict[str, str] = {
    "ce": "Continued training", "pas": "PAS", "pasa": "PASA", "rrr": "RRR", "rrr_g": "RRR-G",
    "dropout": "Selective dropout",
}  # fmt: skip
REPLACEMENT_TITLES = {
    "telea": "Inpainting (Telea)", "navier_stokes": "Inpainting (Navier-Stokes)", "generative": "Inpainting (network)",
    "crops": "Random crops", "noise": "Noise", "function": "Own function",
}  # fmt: skip


def method(loss: Loss = "pasa", *, replace: str = "", head: bool = False) -> Method:
    """Make the method of a loss, a replacement, and a last layer that is fitted again or not.

    Args:
        loss: One of `LOSSES`. With `replace` it is cross-entropy: no mask is left that a loss could look into.
        replace: One of `REPLACEMENTS`; "" for none.
        head: Whether the last layer is fitted again on images whose masked regions are swapped.

    Raises:
        UserError: If there is no such loss or replacement.
    """
    if loss not in LOSSES:
        raise unknown_name("loss", loss, LOSSES)
    if replace and replace not in REPLACEMENTS:
        raise unknown_name("replace", replace, REPLACEMENTS)
    family: Family = "dropout" if loss == "dropout" else "reference" if loss == "ce" else "penalty"
    names, titles = ["continued" if loss == "ce" else loss], [LOSS_TITLES[loss]]
    if replace:
        loss, names, titles, family = "ce", [replace], [REPLACEMENT_TITLES[replace]], "replacement"
    if head:
        names, titles, family = [*names, "head"], [*titles, "head"], "head"
    # Continued training knows nothing of the masked images.
    masked = loss != "ce" or bool(replace)
    return Method("_".join(names), " + ".join(titles), family, loss, masked=masked, replace=replace, head=head)


RIVALS: dict[str, Method] = {
    each.name: each
    for each in (
        method("ce"),
        Method("masked_images", "Masked images, no penalty", "reference"),
        Method("misclassified", "Emphasis on errors", "reference", masked=False, pool="wrong"),
        Method("augmentation", "From scratch, augmented", "reference", masked=False, fresh=True, augment=True),
        Method("all_data", "From scratch, with validation", "reference", masked=False, pool="train+val", fresh=True),
        Method("with_validation", "With validation data", "reference", masked=False, pool="train+val"),
        *(method("ce", replace=replace) for replace in REPLACEMENTS[:-1]),
        method("dropout"), method("rrr"), method("rrr_g"),
        Method("head", "Last layer alone", "head", head=True, iterate=False),
        method("pas"), method("pasa"), method("pasa", head=True),
    )
}  # fmt: skip
"""All that the table shows beside the base, in its order."""


def choose(names: list[str], main: Method) -> list[Method]:
    """Return the methods of a run: the base, the main one, and the rivals named, each once.

    Args:
        names: Names of rivals, or "all", or "none".
        main: The method asked for.

    Raises:
        UserError: If there is no such rival.
    """
    if names == ["all"]:
        names = list(RIVALS)
    names = [] if names == ["none"] else names
    for name in names:
        if name not in RIVALS:
            listing = "`fashionprobe refit --help` lists them all."
            raise unknown_name("rivals", name, ["all", "none", *RIVALS], listing=listing)
    rivals = [RIVALS[name] for name in RIVALS if name in names and name != main.name]
    return [BASE, main, *rivals]
