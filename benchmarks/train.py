"""What computing the descriptors of a frozen backbone once saves, against running it in every epoch.

Both train the same head for ten epochs, on drawn garments, in this process: processor seconds of all threads, start and
compilation included, in the order once - each - each - once, so that a load that grows or falls meets both alike. The
last line sets the accuracies side by side, which should be level.

Run it with `python benchmarks/train.py`; it takes about five minutes on two cores. What counts is the ratio.
"""

import argparse
import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from fashionprobe.stages import ingest, train


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mini", help="name or .keras file (default: mini)")
    parser.add_argument("--images", type=int, default=1500, help="number of garments (default: 1500)")
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels (default: 128)")
    parser.add_argument("--epochs", type=int, default=10, help="number of epochs (default: 10)")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"once": [], "each": []}
    accuracy = {}
    with tempfile.TemporaryDirectory() as folder:
        records = ingest(
            dataset="g", source="garments", count=options.images, size=options.size, label="pattern",
            split=[80, 20, 0], tfrecords_root=folder,
        )  # fmt: skip
        for number, kind in enumerate(("once", "each", "each", "once")):
            start = time.process_time()
            made = train(
                dataset=records, run=f"{kind}{number}", backbone=options.backbone, size=options.size, freeze=5,
                epochs=options.epochs, learning_rate=0.003, cache=kind == "once", runs_root=folder,
            )  # fmt: skip
            seconds[kind].append(time.process_time() - start)
            accuracy[kind] = made.top_1
    once, each = (sum(seconds[kind]) / 2 for kind in ("once", "each"))
    print(f"{options.backbone}, {options.images} images of {options.size} px, {options.epochs} epochs, head alone")
    print(f"  descriptors computed once          {once:8.1f} s of CPU   validation top-1 {accuracy['once']:.3f}")
    print(f"  backbone run in every epoch        {each:8.1f} s of CPU   validation top-1 {accuracy['each']:.3f}")
    print(f"  ratio                              {each / once:8.1f}")


if __name__ == "__main__":
    main()
