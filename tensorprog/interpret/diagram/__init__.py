"""The graphical notation of Tensor Programs (Yang & Littwin 2021, section 4, Figures 1-7).

program -> specification -> positions -> DOT, SVG, PNG, PDF.
"""

from tensorprog.interpret.diagram.draw import Diagram, StepDiagram, draw
from tensorprog.interpret.diagram.picture import Picture
from tensorprog.interpret.diagram.spec import TEST_PANEL, TRAIN_PANEL, Gate, Graph, Panel, Path, Product, Row, Vertex

__all__ = ["TEST_PANEL", "TRAIN_PANEL", "Diagram", "Gate", "Graph", "Panel", "Path", "Picture", "Product", "Row", "StepDiagram", "Vertex", "draw"]
