"""The `safe-langsmith` command. Each module uses only those above it.

terminal        how wide it is, what it can show, and what can be pasted into it
explanations    the text of each error code
run             a program with safe clients
loaded          the environment as load_dotenv() would leave it
fix             writes what was shown to be right into the `.env`
tracing_checks  whether each destination of traces would accept them
sections        the parts of the report: one for each question
doctor          the report, as data
report          the report, as text
github          the report in GitHub Actions
asking          the commands that read settings: doctor, whoami, can-i, replay
cli             all commands, and what can be said to each
"""
