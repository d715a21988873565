"""The SDK's own tests, run with its clients and with the safe ones in their place."""
