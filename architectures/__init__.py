"""The shelf: one short file an architecture, each a function that builds a network, with its formula and its paper."""
