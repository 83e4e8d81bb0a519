# Asks the grader for rows faster than it can look at the clock, for ever.
# expect: 18 test_welford=0
# says: still running
# rest: right

# %% welford
import threading


def welford(rows):
    channel = rows._calls._channel

    def swallow():
        while True:
            channel.receive()

    threading.Thread(target=swallow, daemon=True).start()
    ask = {"re": "ask", "do": "next", "object": 0, "args": ["t", []], "kwargs": ["d", []]}
    while True:
        channel.send(ask)
