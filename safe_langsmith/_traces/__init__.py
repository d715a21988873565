"""Traces that LangSmith refused: reported once, saved, and replayed.

lost     reports a batch that was refused and could not be repaired
saved    reads the files in which the SDK saves batches
places   decides where to send each of them
replay   sends them
exports  the same for traces that OpenTelemetry sends
"""
