"""The ranking of one network's filters in `relevance`, and where it cuts them in relevant and irrelevant ones."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fashionprobe.stages.relevance.activity import RelevanceStudy, learned_from, own_accuracy

if TYPE_CHECKING:
    import numpy as np

    from fashionprobe.channels.relevance import Relevance

FOLDS = 5
"""Folds where the images are of one split, and of the one-filter classifiers."""


@dataclass(frozen=True)
class Ranking:
    """The filters of one network, ranked.

    Attributes:
        found: The ranking and its curves.
        order: The filters, the most relevant first, int (filters,).
        network: Accuracy of the network itself on the images that the curves are measured on; None where it does not
            know their classes.
    """

    found: "Relevance"
    order: "np.ndarray"
    network: float | None

    @property
    def enough(self) -> int:
        """How many of the best give 95 % of the accuracy of all."""
        from fashionprobe.channels.relevance import enough

        return enough(self.found.curve)

    @property
    def reaching(self) -> int | None:
        """How many of the best a softmax layer needs to reach the network; None where it does not."""
        from fashionprobe.channels.relevance import reaching

        return None if self.network is None else reaching(self.found.curve, self.network)

    @property
    def relevant(self) -> "np.ndarray":
        """Which filters are relevant, bool (filters,): the first that reach the network, else the first enough ones."""
        import numpy as np

        best = self.order[: self.reaching or self.enough]
        return np.isin(np.arange(len(self.order)), best)

    @property
    def cut(self) -> str:
        """How many filters are relevant, and why so many."""
        words = "reaches the network's accuracy" if self.reaching else "reaches 95 % of the accuracy of all filters"
        return f"the first {self.reaching or self.enough} of the ranking, with which a classifier {words}"

    def facts(self) -> dict[str, Any]:
        """Return what the manifest notes."""
        ranked = self.found.curve[self.found.curve["order"] == "ranked"]
        return {
            "accuracy": round(float(ranked["accuracy"].iloc[-1]), 4),
            "enough": self.enough,
            "network": None if self.network is None else round(self.network, 4),
            "reaching": self.reaching,
        }


def rank(job: RelevanceStudy, features: "np.ndarray", guesses: "np.ndarray | None") -> Ranking:
    """Rank the filters of a network by what they do on the images, and measure it."""
    # The rooms do not know each other; the estimate is scikit-learn's, fifty times as fast.
    from fashionprobe.channels.rankings import mutual_information, order
    from fashionprobe.channels.relevance import relevance

    is_train = learned_from(job.images)
    found = relevance(
        features, job.images.column(job.label), None if is_train.all() else is_train, seed=job.seed, folds=FOLDS,
        information=lambda values, numbers: mutual_information(values, numbers, seed=job.seed),
    )  # fmt: skip
    return Ranking(found, order(found.ranks), own_accuracy(job, guesses))
