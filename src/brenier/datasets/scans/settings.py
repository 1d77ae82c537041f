"""How a scan is read: how many rows are in memory at once, and how many are drawn at random from all over it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ScanSettings:
    """How rows of a scan are read and shuffled.

    Attributes:
        buffer_rows: rows of a block, which are shuffled together; None for as many as `buffer_bytes` hold. Two blocks
            of a side are in memory: one is drawn from while the next is read.
        buffer_bytes: of a block: large enough that rows from many places mix, small beside the memory of any machine.
        mixed_pieces: pieces of a block, at least, so that it mixes rows from as many places: a row group of more rows
            than this allows is read in slices.
        seekable_pieces: the same where a slice is read as fast by itself as with its neighbours: many small ones.
        least_piece_rows: rows of a piece, at least, unless the whole run has fewer.
        loaded_rows: of a scan, up to which all of them are read into memory, and fitted as an array is.
        pooled_rows: rows drawn at random from all over a larger scan, once: those held out, and those that coordinates
            and comparisons rest on, are among them.
        pooled_numbers: of all pooled rows together, at most, but for
        least_pooled_rows: which are pooled however many columns there are.
        pooled_pieces: pieces that pooled rows come from, at most, for each of these has to be read; more where these
            have too few rows.
        held_out_one_in: of the pool, at most one row in so many is held out for each purpose.
        conditioned_rows: of a side with labels or covariates, which are drawn into memory.
        conditioned_pieces: pieces that these come from, at most.
        batch_rows: rows that are asked of an iterable dataset at once, or decoded of a row group.
    """

    buffer_rows: int | None = None
    buffer_bytes: int = 2**25
    mixed_pieces: int = 4
    seekable_pieces: int = 64
    least_piece_rows: int = 1024
    loaded_rows: int = 2**18
    pooled_rows: int = 2**18
    pooled_numbers: int = 2**25
    least_pooled_rows: int = 2**16
    pooled_pieces: int = 64
    held_out_one_in: int = 10
    conditioned_rows: int = 10**6
    conditioned_pieces: int = 256
    batch_rows: int = 2**16

    def block_rows(self, row_bytes: int) -> int:
        """Return how many rows of so many bytes a block has."""
        if self.buffer_rows is not None:
            return self.buffer_rows
        return max(self.least_piece_rows, self.buffer_bytes // row_bytes)

    def piece_rows(self, row_bytes: int, seekable: bool) -> int:
        """Return how many rows a piece has at most."""
        pieces = self.seekable_pieces if seekable else self.mixed_pieces
        block = self.block_rows(row_bytes)
        return max(1, min(block, max(block // pieces, self.least_piece_rows)))

    def pool_rows(self, dim: int) -> int:
        """Return how many rows of so many columns are drawn at random from all over a scan."""
        bearable = max(self.pooled_numbers // dim, self.least_pooled_rows)
        return min(self.pooled_rows, bearable)
