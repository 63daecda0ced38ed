"""What a descriptor keeps of a feature map: which summary of each channel, over which part of the image.

What can be said without TensorFlow stands here; `backbones.descriptors` computes it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fashionprobe.errors import UserError, unknown_name

Block = int | str
"""Where a descriptor comes from, as tables have it: the number of a block, or the text of a `Source`."""

POOLS = ("mean", "mean_std", "max", "gem")
REGIONS = ("whole", "foreground", "centre")


FOREGROUND = "foreground.npy"
"""File with the share of each image that was taken for the foreground, (images, 1); 1 where it is the whole image."""


@dataclass(frozen=True)
class Pooling:
    """A way to make a descriptor of a feature map.

    Attributes:
        pool: "mean"; "mean_std", the means of all channels and then their standard deviations; "max"; or "gem", the
            generalised mean with exponent 3.
        region: "whole"; "foreground", what differs from a plain ground; or "centre", the middle half of both sides.
    """

    pool: str = "mean"
    region: str = "whole"

    def __str__(self) -> str:
        return self.pool if self.region == "whole" else f"{self.pool}@{self.region}"

    @classmethod
    def of(cls, text: str, argument: str = "pool") -> "Pooling":
        """Read what `str` wrote, such as "mean_std@foreground".

        Raises:
            UserError: If there is no such pooling or region.
        """
        pool, _, region = text.partition("@")
        for name, known in ((pool, POOLS), (region or "whole", REGIONS)):
            if name not in known:
                raise unknown_name(argument, name, known)
        return cls(pool, region or "whole")

    def file(self, block: int, *, first: bool) -> str:
        """Return the file of a block's descriptors; those of the first pooling of a run are called after the block."""
        return f"block{block}.npy" if first else f"block{block}-{str(self).replace('@', '-')}.npy"

    def width(self, channels: int) -> int:
        """Return the length of the descriptor of a map with so many channels."""
        return 2 * channels if self.pool == "mean_std" else channels


@dataclass(frozen=True)
class Source:
    """Where a descriptor comes from: one block, or several joined.

    Attributes:
        blocks: Their numbers.
        pooling: How their maps are summarised; None for the first way that there is.
    """

    blocks: tuple[int, ...]
    pooling: Pooling | None = None

    @classmethod
    def of(cls, text: Block, argument: str = "block") -> "Source":
        """Read a block as the user writes it: 4, 3+4+5, or 3+4+5/mean_std@foreground.

        Raises:
            UserError: If it is something else.
        """
        blocks, _, pooling = str(text).partition("/")
        numbers = blocks.split("+")
        if not all(number.strip().isdigit() for number in numbers):
            raise UserError(argument, expected="a block such as 4, 3+4+5 or 4/mean_std@foreground", received=repr(text))
        found = tuple(dict.fromkeys(int(number) for number in numbers))
        return cls(found, Pooling.of(pooling, argument) if pooling else None)

    def __str__(self) -> str:
        blocks = "+".join(map(str, self.blocks))
        return f"{blocks}/{self.pooling}" if self.pooling else blocks

    @property
    def key(self) -> Block:
        """The block number for one block and the first pooling, as in every table; else the text."""
        return self.blocks[0] if len(self.blocks) == 1 and self.pooling is None else str(self)


def sources(blocks: Sequence[Block], ways: Sequence[Pooling]) -> list[Block]:
    """Return each block by each pooling, as tables have them; the first pooling goes without saying."""
    return [
        replace(Source.of(block), pooling=way if place else None).key
        for place, way in enumerate(ways)
        for block in blocks
    ]


def poolings(pools: Sequence[str], regions: Sequence[str]) -> tuple[Pooling, ...]:
    """Return every pooling over every region.

    Raises:
        UserError: If there is no such pooling or region.
    """
    for argument, names, known in (("pool", pools, POOLS), ("region", regions, REGIONS)):
        for name in names:
            if name not in known:
                raise unknown_name(argument, name, known)
    return tuple(Pooling(pool, region) for region, pool in itertools.product(regions, pools))
