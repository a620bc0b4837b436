"""Kernels larger than memory: K cut into tiles, each computed by one compiled function, on disk or anew at every use.

| file      | what it holds                                                                         |
| --------- | ------------------------------------------------------------------------------------- |
| grid      | which tiles there are                                                                 |
| evaluate  | one tile, on one device or with its rows spread over several                          |
| store     | tiles on disk: each whole or absent, with what they were made from                    |
| matrix    | a kernel known by its tiles: products without the whole                               |
| run       | `tiled_kernels` fills a store; `tiled_matrix` computes tiles whenever they are needed |
| pace      | how long the rest takes                                                               |
| processes | several processes that share the tiles                                                |
"""

from tensorprog.kernels.tiles.matrix import TiledMatrix
from tensorprog.kernels.tiles.run import tiled_kernels, tiled_matrix
from tensorprog.kernels.tiles.store import KernelStore, open_store

__all__ = ["KernelStore", "TiledMatrix", "open_store", "tiled_kernels", "tiled_matrix"]
