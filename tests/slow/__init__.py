"""Slow tests: real forks, and servers that reject only some of the requests."""
