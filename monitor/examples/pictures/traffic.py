# A host with an ordinary fault: a pool that keeps connections for longer than the service behind it does. traffic.py, until its input ends.
#
# Ours is 10.0.0.1. `orders` (10.0.0.5:8080) closes connections after 5 s of quiet, and `checkout` uses them again without looking. What lies
# before 10.0.0.20:443 forgets connections after 20 s, as address translation does. `postgres` (10.0.0.7:5432) waits longer than its clients.
# At our own port 443 some clients give up in the middle of an answer.

import os
import random
import select
import socket
import struct
import sys
import threading
import time

OURS = "10.0.0.1"
TCP_REPAIR = 19
# Nothing is ever written: its other end is closed when this process ends, whatever ends it.
alive, ours = os.pipe()


def named(name, body):
    """A process of its own, by that name, which ends with this one."""
    if os.fork() == 0:
        os.close(ours)
        sys.stdin.close()
        with open("/proc/self/comm", "w") as comm:
            comm.write(name)
        threading.Thread(target=body, daemon=True).start()
        os.read(alive, 1)
        os._exit(0)


def forget(connection):
    """Its state is gone, and nobody is told."""
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    connection.close()


def serve(address, port, quiet, end, size=2000):
    listener = socket.create_server((address, port), backlog=128)

    def one(connection):
        try:
            while select.select([connection], [], [], quiet)[0]:
                if not connection.recv(4096):
                    break
                connection.sendall(b"x" * size)
            else:
                end(connection)
                return
            connection.close()
        except OSError:
            connection.close()

    while True:
        threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()


def exchange(connection, size=2000):
    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
    while size > 0:
        got = connection.recv(4096)
        if not got:
            raise ConnectionResetError
        size -= len(got)


def pool(target, workers, pause, source=OURS):
    """Each uses its connection again after a pause, however long the other side keeps it."""

    def worker():
        while True:
            try:
                with socket.create_connection(target, source_address=(source, 0)) as connection:
                    for _ in range(random.randint(5, 40)):
                        exchange(connection)
                        wait = pause()
                        if wait is None:
                            break
                        time.sleep(wait)
            except OSError:
                pass

    for number in range(workers):
        threading.Thread(target=worker, daemon=True).start()
        time.sleep(0.07)
    threading.Event().wait()


def sometimes(share, rare, usual):
    """A pause, of which some are of the other kind."""
    return lambda: random.uniform(*(rare if random.random() < share else usual))


def visitor(number):
    """Takes an answer, or gives up in the middle of it."""
    while True:
        try:
            with socket.create_connection((OURS, 443), source_address=(f"10.1.0.{11 + number}", 0)) as connection:
                for _ in range(random.randint(1, 12)):
                    exchange(connection, 60000)
                    time.sleep(random.uniform(0.05, 0.4))
                if random.random() < 0.01:
                    connection.sendall(b"GET /large HTTP/1.1\r\n\r\n")
                    connection.recv(100)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass


def visitors():
    for number in range(4):
        threading.Thread(target=visitor, args=(number,), daemon=True).start()
    threading.Event().wait()


def close_after(seconds):
    """Mostly a short pause; else the connection is given up for good after so much quiet."""

    def pause():
        if random.random() < 0.05:
            time.sleep(seconds)
            return None
        return random.uniform(0.05, 0.5)

    return pause


named("orders", lambda: serve("10.0.0.5", 8080, 5.0, socket.socket.close))
named("gateway", lambda: serve("10.0.0.20", 443, 20.0, forget))
named("postgres", lambda: serve("10.0.0.7", 5432, 30.0, socket.socket.close))
named("nginx", lambda: serve(OURS, 443, 60.0, socket.socket.close, 60000))
time.sleep(0.5)
named("checkout", lambda: pool(("10.0.0.5", 8080), 60, sometimes(0.0008, (5.02, 5.9), (0.05, 1.2))))
named("billing", lambda: pool(("10.0.0.20", 443), 30, sometimes(0.002, (20.5, 24.0), (0.2, 2.0))))
named("reports", lambda: pool(("10.0.0.7", 5432), 40, close_after(10.0)))
named("visitors", visitors)
sys.stdin.read()
os.close(ours)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
