"""Many checkpoints of one model: their reports as one table, and how layers evolve."""
