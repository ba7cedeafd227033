"""What a model calls."""
