"""Models in files that are read, never run."""
