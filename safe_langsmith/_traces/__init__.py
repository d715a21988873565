"""Traces that LangSmith refused: reported once, saved, and replayed.

lost     reports a batch that was refused and could not be repaired
saved    reads the files that the SDK saves batches in
places   decides where each of them is sent
replay   sends them
exports  the same for traces that OpenTelemetry sends
"""
