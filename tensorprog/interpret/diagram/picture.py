"""What every drawing can do: be SVG, PNG, PDF or DOT, and show itself in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path as File

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.diagram.canvas import render
from tensorprog.interpret.diagram.marks import Scene
from tensorprog.interpret.diagram.svg import to_svg

FORMATS = ("svg", "png", "pdf", "dot")


class Picture(ABC):
    """A drawing, made on demand from its specification."""

    @abstractmethod
    def composed(self) -> Scene:
        """The marks."""

    @abstractmethod
    def described(self) -> str:
        """In the DOT language."""

    @cached_property
    def scene(self) -> Scene:
        """The marks, from back to front."""
        return self.composed()

    @cached_property
    def dot(self) -> str:
        """The drawing in the DOT language, with positions: `neato -Tsvg` draws it."""
        return self.described()

    @cached_property
    def svg(self) -> str:
        """The drawing as SVG, with the exact geometry of the paper's figures."""
        return to_svg(self.scene)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, file: str | File, *, dpi: float = 300.0) -> File:
        """Write the drawing; the file's ending chooses SVG, PNG, PDF or DOT.

        Raises:
            InvalidProgram: another ending.
        """
        path = File(file)
        match path.suffix:
            case ".svg":
                path.write_text(self.svg, encoding="utf-8")
            case ".dot":
                path.write_text(self.dot, encoding="utf-8")
            case ".png":
                path.write_bytes(render(self.scene, "png", dpi=dpi))
            case ".pdf":
                path.write_bytes(render(self.scene, "pdf"))
            case other:
                raise InvalidProgram(f"[draw] cannot write {path}: {other or 'no ending'} is none of {', '.join('.' + f for f in FORMATS)}.")
        return path
