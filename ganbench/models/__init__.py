"""Models: what trains, GANs and what they are compared with.

A model is `(runs, problem, device, *, hypers) -> Learner` (training.learner), of runs that share their structure.
"""

from ganbench.models import (
    adversarial,
    autoencoder,
    closed,
    diffusion,
    gan,
    made,
    rbm,
    real,
    realnvp,
    tokenizer,
    tokenizer_kl,
    vae,
)

__all__ = [
    "adversarial",
    "autoencoder",
    "closed",
    "diffusion",
    "gan",
    "made",
    "rbm",
    "real",
    "realnvp",
    "tokenizer",
    "tokenizer_kl",
    "vae",
]
