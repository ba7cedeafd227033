"""Ellipsoids of differences, carried through a network frequency by frequency."""
