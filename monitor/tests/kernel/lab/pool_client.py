# A pool of one connection, which it closes when it was not used for so long, and looks at before it uses it again.
import http.client
import select
import sys

address, port, source, idle = sys.argv[1:]
connection = None

while True:
    ready, _, _ = select.select([sys.stdin], [], [], float(idle) if connection else None)
    if not ready:
        connection.close()
        connection = None
        continue
    if not sys.stdin.readline():
        break
    if connection and select.select([connection.sock], [], [], 0)[0]:
        # Its server has closed it.
        connection.close()
        connection = None
    if connection is None:
        connection = http.client.HTTPConnection(address, int(port), source_address=(source, 0))
    try:
        connection.request("GET", "/")
        print(connection.getresponse().read().decode(), flush=True)
    except ConnectionError:
        connection.close()
        connection = None
        print("lost", flush=True)
