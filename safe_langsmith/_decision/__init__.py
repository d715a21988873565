"""Why was a request rejected, and what may be done?

No network, clock, or files: generators that ask for what they need. Each module uses only
those above it.

    protocol    the words: a rejected request, a question to the server, its answer
    answers     what an answer tells of a key, of its workspaces, and of the server
    case        one rejected request under investigation, and what a repair may do
    steps       what to do, as the place of each setting has it
    unreachable  no answer at all: what went wrong on the way
    checks      one module for each group of causes; `CHECKS` is the order of decision
    conclusion  from a cause to its diagnosis, free of secrets
    resolve     from a rejection to a verdict: runs the checks, and repairs
"""
