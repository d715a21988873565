"""What a key, a URL or a request reveals by itself.

Pure functions: no network, no files. Each module uses only those listed above it.

    keys        kinds of keys, and how to mask keys in text
    hosts       LangSmith's hosts and regions, and how to read an endpoint's URL
    installed   whether code is installed, or a program's own
    notebook    how errors, repairs and tables look in a notebook
    access      what a request sends, and whether a response may be a refusal
    operations  the permission and the kind of key that a request needs
"""
