"""Slow tests: real forks, and servers that refuse only some of the requests."""
