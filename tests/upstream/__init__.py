"""Runs the SDK's own tests with the plain and with the safe clients."""
