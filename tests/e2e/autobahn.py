"""Plays Autobahn's WebSocket cases against a server, and prints the verdicts.

    python autobahn.py ws://127.0.0.1:9001

The output is one line of JSON: {"1.1.1": {...}, ...}. A case that the server does not pass has
a verdict like any other case.
"""

import asyncio
import json
import sys

from kosoku import FailureError, run_fuzzingclient


async def play(url):
    try:
        return await run_fuzzingclient(url)
    except FailureError as failure:
        return failure.results


def verdict(result):
    """Returns all parts that do not depend on time, on ports, or on how TCP splits the bytes."""
    return {
        "behavior": result.behavior.value,
        "behaviorClose": result.behavior_close.value,
        "localCloseCode": result.local_close_code,
        "localCloseReason": result.local_close_reason,
        "remoteCloseCode": result.remote_close_code,
        "remoteCloseReason": result.remote_close_reason,
        "closedByMe": result.closed_by_me,
        "failedByMe": result.failed_by_me,
        "droppedByMe": result.dropped_by_me,
        "wasClean": result.was_clean,
        "framesReceived": {str(k): v for k, v in dict(result.rx_frame_stats).items()},
    }


results = asyncio.run(play(sys.argv[1]))
print(json.dumps({result.case_id: verdict(result) for result in results}))
