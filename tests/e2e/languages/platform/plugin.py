import datetime
import os
import random
import time
import uuid
from random import random as named

import pointsman


def printed():
    print("printed")
    return ""


def opened():
    try:
        return open("/etc/passwd").read()
    except OSError:
        return "none"


ACTIONS = {
    "/print": printed,
    "/open": opened,
    "/clock": lambda: int(time.time()),
    "/date": lambda: int(datetime.datetime.now(datetime.timezone.utc).timestamp()),
    "/random": random.random,
    "/named": named,
    "/below": lambda: random.randrange(2**60),
    "/gauss": lambda: random.gauss(0, 1),
    "/uuid": uuid.uuid4,
    "/octets": lambda: os.urandom(8).hex(),
}


class Mine:
    cacheable = True

    def route(self, request: pointsman.Request) -> pointsman.Decision:
        action = ACTIONS.get(request.path, str)
        return pointsman.respond(200, body=str(action()))


Plugin = pointsman.plugin(Mine)
