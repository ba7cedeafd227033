"""What weights and programs are read from, files that nobody trusts."""
