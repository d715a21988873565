"""The `safe-langsmith` command. Each module uses only those above it.

terminal      how wide it is, what it can show, and what can be pasted into it
explanations  the text of each error code
run           a program with safe clients
demo          each cause, with the plain client and with ours
fix           writes what was shown to be right into the `.env`
sections      the parts of the report: one for each question
doctor        the report, as data
report        the report, as text
asking        the commands that ask LangSmith about the settings
cli           all commands, and what can be said to each
"""
