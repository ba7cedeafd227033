"""Rayleigh-Ritz on plane waves that are cut off at the image."""
