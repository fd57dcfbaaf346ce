"""The integer grid of time: samples, frames and blocks by exact division.

Every instant inside omni is a count of samples or of blocks since the conversation began. Seconds are made from
counts for people to read, and never added up: sums of floats drift (a 30 s loop of 80 ms sleeps ends at
29.99999999999945 s).

    block   0         1         2
            |---------|---------|---------    80 ms = 1,280 samples at 16 kHz
    room    heard     heard     heard
    output            from 0    from 1        speech decided from block i sounds in output block i + 1
"""

from dataclasses import dataclass


def exact_div(numerator: int, denominator: int) -> int:
    """Return numerator / denominator.

    Raises:
        ValueError: if the division leaves a remainder.
    """
    quotient, remainder = divmod(numerator, denominator)
    if remainder:
        raise ValueError(f"{numerator} is not a multiple of {denominator}")
    return quotient


@dataclass(frozen=True, slots=True)
class Timebase:
    """The grid a model lives on.

    Attributes:
        sample_rate_hz: rate of the model's audio, in and out.
        block_ms: length of one block; the model decides one token in each.
    """

    sample_rate_hz: int = 16_000
    block_ms: int = 80

    @property
    def block_samples(self) -> int:
        """Samples in one block (1,280 at 16 kHz and 80 ms)."""
        return exact_div(self.sample_rate_hz * self.block_ms, 1000)

    @property
    def samples_per_ms(self) -> int:
        """Samples in one millisecond (16 at 16 kHz)."""
        return exact_div(self.sample_rate_hz, 1000)

    def block_at(self, block: int) -> int:
        """First sample of a block."""
        return block * self.block_samples

    def to_ms(self, samples: int) -> int:
        """Whole milliseconds, rounded down."""
        return samples * 1000 // self.sample_rate_hz

    def to_seconds(self, samples: int) -> float:
        """Seconds for people to read, rounded to a tenth of a millisecond; never summed."""
        return round(samples / self.sample_rate_hz, 4)

    def from_ms(self, ms: int) -> int:
        """Samples in `ms` milliseconds."""
        return ms * self.samples_per_ms


TINY = Timebase()
