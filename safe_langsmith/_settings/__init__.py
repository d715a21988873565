"""What is configured, and where each value came from.

The only package that reads settings, and only for a diagnosis, with two exceptions when a
client is created: `construction` records a few variables, to tell later whether a value
came from the environment or was passed, and `environment` cleans a key that cannot be
sent. Each module uses only those above it.

    python_dotenv  python-dotenv, and whether the program uses it
    machine        Python, langsmith, the system; advice that needs a newer langsmith
    construction   the names, and what is recorded when a client is created
    network        the variables for proxies and certificates
    unread         misspelled variables that nothing reads, and what they mean
    sources        the types: a value, its source, a setup
    environment    variables, in the SDK's order of names, and the SDK's cache of them
    tracing        the project, the switch and the destinations of tracing
    colab          the secrets of a Colab notebook
    conflicts      settings that contradict each other
    dotenv_file    the `.env` file, line by line, and common mistakes in it
    profile_file   the profile of LangSmith's CLI, and common mistakes in its file
    reading        reads all of them
"""
