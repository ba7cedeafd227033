"""Rigorous bands around every singular value of any operator."""
