"""A training that ends in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from egno_md.train.sampling import RandomBatches


@contextmanager
def broken_off(batches: int, error: type[BaseException]) -> Iterator[None]:
    """What trains inside raises `error` in place of its batch of this number."""
    draw, seen = RandomBatches.__iter__, 0

    def dying(self: RandomBatches):
        nonlocal seen
        for batch in draw(self):
            seen += 1
            if seen == batches:
                raise error
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RandomBatches, "__iter__", dying)
        with pytest.raises(error):
            yield
