# A client of an HTTPS server that notices the server's FIN no sooner than its next request, as many pools do, if it is not told to.
import select
import socket
import ssl
import sys

address, port, source = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
GET = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
plain = socket.create_connection((address, int(port)), source_address=(source, 0))
client = context.wrap_socket(plain)

for line in sys.stdin:
    if line == "get\n":
        client.sendall(GET)
        answer = b""
        while b"response" not in answer:
            answer += client.recv(4096)
        print(client.getsockname()[1], flush=True)
    elif line == "until_closed\n":
        # Hang-up of the other side, without reading its goodbye.
        waiting = select.poll()
        waiting.register(client, select.POLLRDHUP)
        waiting.poll()
        print("closed", flush=True)
    elif line == "read_to_the_end\n":
        while client.recv(4096):
            pass
        # It has said that it closes, and its FIN is on its way: who answers that before it comes has closed first.
        waiting = select.poll()
        waiting.register(client, select.POLLRDHUP)
        waiting.poll()
        client.close()
        print("closed", flush=True)
    elif line == "close\n":
        client.close()
        print("closed", flush=True)
    elif line == "late\n":
        client.sendall(GET)
        waiting = select.poll()
        waiting.register(client, 0)
        waiting.poll()
        print("reset", flush=True)
