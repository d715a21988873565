"""The `safe-langsmith` command."""
