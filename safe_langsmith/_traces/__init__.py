"""Traces that were rejected: reported once, saved, and replayed.

lost     what happens when a batch is rejected for good
saved    the files that the SDK saves batches in
places   where each of them goes
replay   sends them
exports  what OpenTelemetry sends
"""
