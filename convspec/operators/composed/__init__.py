"""Linear maps beside convolutions, and what they make together."""
