"""Speed, as ratios in one run: ``python -m benchmarks`` writes the results and the page.

Everything is measured against something else in the same run, in turn, so that a busy or
slow machine changes both sides alike.

    paired        two things in turn, and the ratio of their times
    served        a simulated LangSmith in a process of its own
    good_calls    a request without a refusal: wall time
    counted       the same in instructions of the processor, by callgrind
    starting      import and construction; what is imported before a refusal
    repairs       the requests and round trips of each cause
    storms        many refused calls at once
    by_hand/      what a user would write in place of SafeClient
    hand_written  these next to SafeClient
    page          the page and the picture, from the results
"""
