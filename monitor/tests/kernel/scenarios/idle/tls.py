# Both ends of a TLS connection: one exchange, a close of the server as TLS asks for it, and a request after that.
import select
import socket
import ssl
import struct
import sys
import time

version, server_address, client_address, port, certificate = sys.argv[1:]
family = socket.AF_INET6 if ":" in server_address else socket.AF_INET


def context(purpose):
    made = ssl.SSLContext(purpose)
    made.minimum_version = made.maximum_version = ssl.TLSVersion[version]
    return made


listener = socket.socket(family)
if family == socket.AF_INET6:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((server_address, int(port)))
listener.listen()
plain_client = socket.socket(family)
plain_client.bind((client_address, 0))
plain_client.connect((server_address, int(port)))
plain_server, _ = listener.accept()
listener.close()

at_server, at_client = context(ssl.PROTOCOL_TLS_SERVER), context(ssl.PROTOCOL_TLS_CLIENT)
at_server.load_cert_chain(certificate)
at_client.check_hostname, at_client.verify_mode = False, ssl.CERT_NONE
server = at_server.wrap_socket(plain_server, server_side=True, do_handshake_on_connect=False)
client = at_client.wrap_socket(plain_client, do_handshake_on_connect=False)
waiting = [client, server]
for end in waiting:
    end.setblocking(False)
while waiting:
    for end in list(waiting):
        try:
            end.do_handshake()
            waiting.remove(end)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
for end in client, server:
    end.setblocking(True)


def receive(end, count):
    received = 0
    while received < count:
        received += len(end.recv(count - received))


def data_segments(end):
    # struct tcp_info: tcpi_data_segs_in, tcpi_data_segs_out
    return struct.unpack_from("=II", end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 152)


for line in sys.stdin:
    before = time.monotonic_ns()
    if line == "exchange\n":
        client.sendall(b"request")
        receive(server, 7)
        server.sendall(b"response")
        receive(client, 8)
        answer = f"{before} {time.monotonic_ns()} {client.getsockname()[1]}"
    elif line == "close\n":
        received, sent = data_segments(server)
        # It says goodbye, and does not wait for the other's.
        server.setblocking(False)
        try:
            server.unwrap()
        except OSError:
            pass
        server.close()
        answer = f"{before} {time.monotonic_ns()} {min(received, sent + 1)}"
    elif line == "late\n":
        received, sent = data_segments(client)
        client.sendall(b"late")
        ended = select.poll()
        ended.register(client, 0)
        ended.poll()
        after = time.monotonic_ns()
        try:
            saw = "data" if client.recv(100) else "EOF"
        except OSError as error:
            saw = error.strerror
        answer = f"{before} {after} {saw} {min(received, sent + 1)}"
    print(answer, flush=True)
