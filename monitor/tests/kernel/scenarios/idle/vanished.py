# A server whose connection vanishes without a word: its socket is closed in repair mode, which sends nothing.
import os
import socket
import sys
import time

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_SEND_QUEUE = 19, 20, 21, 2

address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
listener = socket.socket(family)
if family == socket.AF_INET6:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
listener.bind((address, port))
listener.listen()

for line in sys.stdin:
    if line == "listen\n":
        answer = "listening"
    elif line == "accept\n":
        connection, _ = listener.accept()
        listener.close()
        answer = "accepted"
    elif line == "answer\n":
        connection.recv(7, socket.MSG_WAITALL)
        before = time.monotonic_ns()
        connection.sendall(b"response")
        answer = f"{before} {time.monotonic_ns()}"
    elif line == "exit\n":
        # Leaves its sockets to the kernel.
        os._exit(0)
    elif line == "vanish\n":
        connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE)
        next_sequence = connection.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ) & 0xFFFFFFFF
        connection.close()
        answer = f"{next_sequence}"
    print(answer, flush=True)
