"""Writes networks.png: what each network for images learns of digits in 300 steps; the rows of networks.md's table too.

python docs/networks.py            all of them, in about four minutes of one core
python docs/networks.py dcgan      that one's row alone; no picture is written
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

import ganbench

PICTURE = Path(__file__).with_suffix(".png")
STEPS, ACROSS, SCALE, NAME = 300, 14, 4, 130
"""Steps of each; samples in a row, how many times as large as they are, and the pixels that a name takes."""

HINGE = ["loss=hinge", "normalization=paper", "g_normalization=paper"]
R1 = ["regularizer=r1", "g_normalization=paper"]
PAIRED = ["loss=relativistic_pairing", "regularizer=r1r2"]
WAYS = {
    "dcgan": ["loss=relativistic_pairing", *R1], "dcgan_paper": HINGE[1:],
    "sn_resnet": HINGE, "sagan": HINGE, "biggan": HINGE,
    "unet_gan": HINGE, "patchgan": ["loss=least_squares", "g_normalization=paper"],
    "wgan_gp_resnet": ["loss=wasserstein", "regularizer=gradient_penalty", *HINGE[1:]],
    "progressive": R1, "stylegan": [*R1, "loss=relativistic_pairing"], "stylegan2": R1, "r3gan": PAIRED,
    "fastgan": [*HINGE, "term=reconstruction"],
    "pix2pix": ["problem=upscaled_digits", *HINGE[1:], "term=l1"],
    "cyclegan": ["problem=inverted_digits", "loss=least_squares", *HINGE[1:], "term=cycle"],
    "stargan": ["problem=restyled_digits", "loss=hinge", "term=domain_class+domain_cycle", "network.stargan.width=16",
                "network.stargan.blocks=1", "network.stargan.each_pixel=true"],
}  # fmt: skip
"""How each is trained: about as in its paper, of those of digits alone without batch norm in D."""


@dataclass(frozen=True)
class Learned:
    """The probes before and after, and the last samples [n, *shape]."""

    before: dict[str, float]
    after: dict[str, float]
    samples: np.ndarray[Any, Any]

    def row(self, name: str) -> str:
        """Return this network's row of the table."""
        numbers = [self.before["frechet"], self.after["frechet"]]
        shown = ", ".join(f"{number:.3g}".lstrip("0") for number in numbers)
        kept = {key: (self.before.get(key), self.after.get(key)) for key in ("classes_covered", "content_kept")}
        told = "; ".join(f"{key} {old:.3g}, {new:.3g}" for key, (old, new) in kept.items() if new is not None)
        return f"| `{name}` | {shown} | {told} |"


def words(name: str) -> list[str]:
    """Return the settings of a network's run."""
    common = ["problem=digits", f"network={name}", "latent_dim=16", "batch_size=64", "samples=500", "neighbours=128"]
    ways = [*common, *WAYS[name], f"steps={STEPS}", f"probe_every={STEPS}", "seeds=1"]
    return list({text.partition("=")[0]: text for text in ways}.values())


def learn(name: str) -> Learned:
    """Train one network and return what it has learned."""
    with tempfile.TemporaryDirectory() as folder:
        study = ganbench.run(None, words(name), out=folder, workers=1)
        run = study.runs["run"].iloc[0]
        before, after = (
            {str(key): float(value) for key, value in probe.items() if pd.notna(value)}
            for _, probe in study.series.drop(columns="run").iterrows()
        )
        return Learned(before, after, study.samples(run)[STEPS])


def sheet(learned: dict[str, Learned]) -> Image.Image:
    """Return a row of samples for each network, behind its name."""
    tile = 8 * SCALE + 2
    canvas = Image.new("RGB", (NAME + ACROSS * tile, len(learned) * tile), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    for row, (name, one) in enumerate(learned.items()):
        pen.text((4, row * tile + tile // 2), name, fill="black", font=font, anchor="lm")
        left = NAME
        for image in one.samples[:ACROSS]:
            # one channel or three, last for Pillow
            colours = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
            levels = np.clip((colours + 1) * 127.5, 0, 255).astype(np.uint8)
            # two pictures side by side take the room of two
            wide = Image.fromarray(levels).resize((levels.shape[1] * SCALE, 8 * SCALE), Image.Resampling.NEAREST)
            if left + wide.width <= canvas.width:
                canvas.paste(wide, (left, row * tile))
            left += wide.width + 2
    return canvas


def main(names: list[str]) -> None:
    """Train networks and print their rows; write the picture where all are asked for."""
    learned = {}
    for name in names or WAYS:
        learned[name] = learn(name)
        print(learned[name].row(name), flush=True)
    if not names:
        sheet(learned).quantize(64).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
