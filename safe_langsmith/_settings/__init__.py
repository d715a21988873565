"""What is configured, and where each value came from.

The only package that reads settings, and only after a rejection. The
exception is `construction`, which notes a few variables when a client is made: later they
tell a value that came from the environment from one that was passed. Others use
`reading`, the words in `sources`, and `construction`. Each module uses only those above it.

    python_dotenv  python-dotenv, and whether the program uses it
    machine        Python, langsmith, the system; which release an advice needs
    construction   the names, and what is noted when a client is made
    network        the variables that name proxies and certificates
    unread         names that nobody reads, and what they mean
    sources        the words: a value, its source, a setup
    environment    variables, in the SDK's order of names, and the SDK's memory of them
    tracing        the project, the switch and the destinations of tracing
    colab          the secrets of a Colab notebook
    conflicts      what disagrees
    dotenv_file    the `.env`, line by line, and what goes wrong in it
    profile_file   the profile of LangSmith's CLI
    reading        all of them together
"""
