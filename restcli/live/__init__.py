"""Seizure detection as the signal arrives."""
