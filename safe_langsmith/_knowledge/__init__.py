"""What a key, an address or a request tells by itself.

Pure functions: nothing is read or sent. Each module uses only those above it.

    hosts       LangSmith's hosts and regions, and what the text of an address tells
    keys        the kinds of keys, and how a text is kept free of them
    notebook    what a notebook shows: errors, repairs, tables
    access      what a request shows the server, and the first look at each response
    operations  which permission a request needs, and which kind of key
"""
