"""Speed, as ratios in one run: ``python -m benchmarks`` writes the results and the page.

Everything is measured against something else in the same run, in turn, so that a busy or
slow machine changes both sides alike.

    paired        two things in turn, and the ratio of their times
    served        a simulated LangSmith in a process of its own
    good_calls    a request without a refusal: wall time
    counted       the same in instructions of the processor, by callgrind
    starting      import and construction; what is imported before a refusal
    slow_network  a delay for each request
    by_hand/      what a user would write in place of SafeClient
    repairs       the requests and round trips of each cause, next to these
    storms        many refused calls at once
    page          the page and the picture, from the results
"""
