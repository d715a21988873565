"""The `safe-langsmith` command. Each module uses only those above it.

terminal        the terminal's width and characters, and shell syntax
explanations    the text of each error code
run             runs a program with safe clients
loaded          the environment after load_dotenv()
fix             writes proven settings to the `.env`
tracing_checks  whether each destination would accept traces
facts           what a report is built from, and the verdict
sections        the sections of the report
doctor          the report, as data
report          the report, as text
github          the report in GitHub Actions
asking          the commands that use settings: doctor, whoami, can-i, replay
cli             all commands and their options
"""
