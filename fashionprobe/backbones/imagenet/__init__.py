"""The 1,000 classes of ImageNet by name, as WordNet calls them, offline."""

import functools
from collections import defaultdict
from importlib import resources


@functools.cache
def class_names() -> tuple[str, ...]:
    """Return the name of each class, in the order of the outputs of every ImageNet classifier.

    Two pairs that WordNet calls by one name, cranes and maillots, have names of their own.

    Example:
        >>> class_names()[282]
        'tiger cat'
    """
    return tuple(names[0] for names in _synonyms())


@functools.cache
def numbers_by_synonym() -> dict[str, tuple[int, ...]]:
    """Return which classes bear a name, for all names in small letters; some bear the name of another.

    Example:
        >>> numbers_by_synonym()["crane"]
        (134, 517)
    """
    numbers = defaultdict(list)
    for number, names in enumerate(_synonyms()):
        for name in names:
            numbers[name.lower()].append(number)
    return {name: tuple(found) for name, found in numbers.items()}


@functools.cache
def _synonyms() -> list[list[str]]:
    text = (resources.files(__name__) / "classes.txt").read_text(encoding="utf-8")
    return [line.split(", ") for line in text.splitlines()]
