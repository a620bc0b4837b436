"""Small results in files: arrays in an uncompressed .npz with their provenance as JSON; what is there already is not computed again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

Arrays = Mapping[str, NDArray[Any]]
PROVENANCE = "provenance"


def save(path: Path, arrays: Mapping[str, ArrayLike], provenance: Mapping[str, Any]) -> None:
    """Write all or nothing: an interrupted write leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part.npz")
    try:
        np.savez(draft, **{PROVENANCE: json.dumps(provenance, sort_keys=True)}, **{k: np.asarray(v) for k, v in arrays.items()})  # pyright: ignore[reportArgumentType]
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)  # what a full disk left of it


def load(path: Path, provenance: Mapping[str, Any]) -> Arrays | None:
    """The arrays, if the file is there, is whole, and has this provenance."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            if str(saved[PROVENANCE]) != json.dumps(provenance, sort_keys=True):
                return None
            return {k: saved[k] for k in saved.files if k != PROVENANCE}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def kept(path: Path, provenance: Mapping[str, Any], compute: Callable[[], Mapping[str, ArrayLike]]) -> Arrays:
    """The stored arrays, or freshly computed ones, which are then stored."""
    found = load(path, provenance)
    if found is None:
        save(path, compute(), provenance)
        found = load(path, provenance)
    assert found is not None
    return found
