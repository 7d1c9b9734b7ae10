"""Speed is measured with all threads, which the other tests do without."""

import os

import pytest
import torch


@pytest.fixture(autouse=True)
def all_threads():
    """Give a benchmark every core for its length."""
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)
