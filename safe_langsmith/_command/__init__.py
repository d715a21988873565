"""The `safe-langsmith` command. Each module uses only those above it.

terminal      how wide it is, and what it can show
explanations  the text of each error code
demo          each cause, with the plain client and with ours
fix           writes what was shown to be right into the `.env`
doctor        the report, as data
report        the report, as text
asking        the commands that ask LangSmith about the settings
cli           all commands, and what can be said to each
"""
