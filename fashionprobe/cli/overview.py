"""What `fashionprobe --help` shows: the commands in groups, each in a line; nothing is imported for it."""

GROUPS = {
    "Data": {
        "ingest": "Pack images and labels into TFRecord files.",
        "verify": "Check the files of an artifact against its manifest.",
        "demo": "Run the whole chain on drawn garments, offline.",
    },
    "Probe": {
        "extract": "Describe every image by the hidden blocks of a backbone.",
        "classify": "Find the block that knows a label best.",
        "choose": "Choose block, normalization and distance for a label.",
        "profile": "Show what each channel does for each class.",
        "pairs": "Compare distances within classes and between them.",
        "reduce": "Draw each block as a map of the images, with clusters.",
        "wall": "Arrange the images on a grid, similar ones side by side.",
        "retrieve": "Find the block that retrieves images of a class best.",
        "index": "Make an index of descriptors for search, tag and attribute.",
        "index add": "Add images to an index, or update those that it has.",
        "index remove": "Take images out of an index.",
        "index compact": "Write an index again as one part, without what was removed.",
        "index status": "Say what an index holds.",
        "search": "Find the images that are most similar to one.",
        "tag": "Name the class of an image in each group of an index.",
        "fill": "Propose a class for each image that lacks a label.",
        "attribute add": "Give an index a new class from a handful of images.",
        "attribute remove": "Take a class out of an index.",
        "attribute list": "List the classes of an index.",
    },
    "See": {
        "predict": "Say what a classifier sees in images.",
        "see": "Draw heatmaps that show what a network looks at.",
        "evaluate": "Measure what a run has learned on other images.",
        "faithfulness": "Measure how far heatmaps can be trusted.",
        "activations": "Draw the feature maps of hidden layers for an image.",
        "maximize": "Make pictures that channels or classes respond to most.",
        "selectivity": "Find what the channels of some blocks select.",
        "dissect": "Find which concept each channel of some blocks detects.",
        "converge": "Match the channels of two networks, or of two blocks.",
    },
    "Correct": {
        "train": "Train a classifier of one label.",
        "branch": "Give a trained network an output for one more label.",
        "propose": "Rank the images in which to mark regions first.",
        "masks": "Collect masks of irrelevant regions.",
        "preview": "Show what fills masked regions, and the size of penalties.",
        "refit": "Correct a network with masks; compare with other methods.",
        "relevance": "Rank the filters of the last feature map by relevance.",
    },
    "Embed": {
        "embed": "Train an embedding that pulls images of a class together.",
        "unseen": "Train an embedding without a class; test it on that class.",
        "tune": "Search for margin, learning rate and dimension.",
    },
    "Serve": {
        "export": "Write a network of a run for another tool.",
        "app": "Show a run in the browser: mark, refit, explore, search.",
        "serve": "Answer other programs over HTTP: search, tag, explain.",
        "report": "Write one HTML page about a run, or several.",
    },
}
"""The commands by group, with the first line of the stage's docstring."""

NAMES = tuple(name for group in GROUPS.values() for name in group)
FAMILIES = tuple(dict.fromkeys(name.split()[0] for name in NAMES if " " in name))
"""Words that stand before several commands."""

SHELLS = ("bash", "zsh", "fish")


def overview(family: str = "") -> str:
    """Return the help of the whole command, or of a family of commands."""
    lines = ["Usage: fashionprobe COMMAND --name value ..."]
    for group, commands in GROUPS.items():
        shown = {name: line for name, line in commands.items() if name.startswith(family)}
        lines += ["", group, *(f"  {name:<17} {line}" for name, line in shown.items())] if shown else []
    lines += ["", "`fashionprobe COMMAND --help` explains a command. Others: --version, --completion bash|zsh|fish."]
    return "\n".join(lines)
