"""Traces that were rejected: reported once, saved, and replayed."""
