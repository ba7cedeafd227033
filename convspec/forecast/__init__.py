"""Seconds and bytes of the library's own computations, before they are begun."""
