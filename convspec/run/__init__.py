"""Work over the cores of this machine."""
