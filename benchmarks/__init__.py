"""Measure speed: ``python -m benchmarks`` writes the results and the page.

Figures are ratios. Both sides take turns in the same run, so a slow or busy machine
affects both in the same way.

    paired        run two functions in turn; the ratio of their times
    served        a simulated LangSmith in a separate process
    good_calls    a request that is not refused: wall time
    counted       the same in CPU instructions, counted by callgrind
    starting      import and construction; modules imported before a refusal
    slow_network  a delay for each request
    by_hand/      code that a user could write instead of using SafeClient
    repairs       requests and round trips for each cause, compared with by_hand/
    storms        many refused calls at once
    page          writes the page and the picture from the results
"""
