"""Samples that several tests of the validation share."""

import pytest

from caloforge.validation import read_sample


@pytest.fixture(scope="session")
def pair(toy_showers):
    """Two independent samples of 1000 showers of one distribution."""
    return read_sample(toy_showers(1000, 1), "generated"), read_sample(toy_showers(1000, 2), "reference")
