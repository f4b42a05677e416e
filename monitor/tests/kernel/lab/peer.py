# One end of connections, which does what each line says and answers with a line.
import socket
import struct
import sys

address, port, source = sys.argv[1:]
server = (address, int(port))
listener, connection = None, None

for line in sys.stdin:
    word, *arguments = line.split()
    answer = word
    if word == "listen":
        if listener is None:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(server)
        listener.listen(int(arguments[0]))
    elif word == "unlisten":
        listener.close()
    elif word == "accept":
        connection, _ = listener.accept()
    elif word == "connect":
        connection = socket.create_connection(server, source_address=(source, 0))
        answer = connection.getsockname()[1]
    elif word == "get":
        connection.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        received = b""
        while b"response" not in received:
            received += connection.recv(4096)
    elif word == "probe":
        # Probes after a second, each second, and two of them are enough.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, int(arguments[0]))
    elif word == "linger":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif word == "read":
        try:
            answer = "data" if connection.recv(100) else "EOF"
        except OSError as error:
            answer = error.errno
    elif word == "abort":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    elif word == "forget":
        # TCP_REPAIR: closing says nothing.
        connection.setsockopt(socket.IPPROTO_TCP, 19, 1)
        connection.close()
    elif word == "close":
        connection.close()
    print(answer, flush=True)
