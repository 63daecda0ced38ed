"""What does a classifier look at, which of its heatmaps can be trusted, and what are its channels for?

Everything offline, on drawn garments and the network that comes with the package: the head of a classifier is trained,
then the network is looked at from all sides, and one report shows it all. Copy it and change it.

    python pipelines/what_it_looks_at.py
    python pipelines/what_it_looks_at.py --label colour --count 2000
"""

import sys

from fashionprobe.cli import script
from fashionprobe.stages import activations, converge, faithfulness, ingest, maximize, report, see, selectivity, train


def main(*, label: str = "pattern", count: int = 1000, size: int = 112) -> None:
    """Run the experiment.

    Args:
        label: What the classifier distinguishes: colour or pattern.
        count: Number of garments to draw.
        size: Height and width of the pictures in pixels.
    """
    name = f"looks-{label}"
    garments = ingest(dataset="looks", source="garments", count=count, size=size, label=label, split=[70, 15, 15])
    train(dataset=garments, run=name, backbone="mini", size=size, label=label, freeze=5, epochs=20, learning_rate=0.003)

    # All of these take the network that `train` wrote into the run.
    see(run=name, dataset=garments, split="test", method="grad_cam,occlusion,guided_backpropagation", samples=6)
    faithfulness(run=name, dataset=garments, split="test", samples=12)
    activations(run=name, dataset=garments, split="test", block=[1, 3, 5])
    maximize(run=name, block=5)
    selectivity(run=name, dataset=garments, label=label, block=[1, 3, 5], images=50)

    # Are its channels those that random weights would have given, too?
    converge(run=name, dataset=garments, split="test", other_weights="random", block=3)
    print(f"Open {report(run=name, title=f'What a classifier of {label} looks at').page}")


if __name__ == "__main__":
    sys.exit(script(main))
