"""Tests that take long: real forks, and servers that reject only some of the time."""
