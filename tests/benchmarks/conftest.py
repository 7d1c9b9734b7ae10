"""Speed is measured with all threads, which the other tests do without."""

import os

import torch

torch.set_num_threads(os.cpu_count() or 1)
