"""Recordings with known seizures."""
