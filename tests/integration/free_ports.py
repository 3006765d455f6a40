"""Ports for servers that are told theirs, as they can't choose one themselves."""

import random
import socket

_DRAWS = random.SystemRandom()  # pytest's processes may have one seed


def free_ports(count: int) -> list[int]:
    """Different ports of localhost, free now.

    They lie below those that the system gives to clients, and to servers that ask for any: one of those could go to
    another test before the server takes it.
    """
    found: list[int] = []
    while len(found) < count:
        port = _DRAWS.randrange(10_000, 32_000)
        try:
            socket.create_server(("localhost", port)).close()
        except OSError:
            continue
        if port not in found:
            found.append(port)
    return found
