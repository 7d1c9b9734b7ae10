"""The record of a problem in a study's directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ganbench.arrays import Array
from ganbench.files import file_name, remove, replace_file, write_text
from ganbench.results import reading
from ganbench.results.reading import Damage, Unreadable, exists

UNSEEN = "without_samples"


class ProblemFolder:
    """What a study records of one problem."""

    def __init__(self, folder: Path, label: str) -> None:
        self.label, name = label, file_name(label)
        self.files = self._json, self._array = folder / f"{name}.json", folder / f"{name}.npy"
        self.damage: list[Damage] = []

    def exists(self) -> bool:
        """Tell whether the record is complete, and whole."""
        return bool(self.read()) and not self.damage

    def write(self, description: dict[str, Any], real: Array | None) -> None:
        """Record oracle values, modes and real samples; None for a watched loop that shows no samples at all."""
        self._json.parent.mkdir(parents=True, exist_ok=True)
        for file in (self._array, self._json):
            if file.is_dir():
                remove(file)
        if real is not None:
            with replace_file(self._array) as target, target.open("wb") as stream:
                np.save(stream, real)
        record = description | ({UNSEEN: True} if real is None else {})
        write_text(self._json, json.dumps(record | {"sealed": reading.seal(record)}))

    def read(self, *, needed: bool = False) -> dict[str, Any]:
        """Return what was recorded, real samples under "real"; empty where nothing is there, or it is damaged.

        needed: where nothing is there, that is damage too.
        """
        self.damage = []
        if not exists(self._json) and not needed:
            return {}
        try:
            record = reading.problem(reading.read_json(self._json))
        except Unreadable as error:
            lost = f"without the oracle values of '{self.label}' its runs cannot be judged"
            self.damage.append(Damage(self._json, str(error), lost))
            return {}
        if record.get(UNSEEN):
            return record
        try:
            real = reading.read_array(self._array)
            # points [n, d] or images [n, c, h, w]
            if real.ndim not in (2, 4) or not np.isfinite(real).all():
                raise Unreadable("holds no samples")
            return {**record, "real": np.array(real)}
        except Unreadable as error:
            self.damage.append(Damage(self._array, str(error), f"the real samples of '{self.label}' are not shown"))
            return record
