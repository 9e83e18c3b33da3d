"""ASSEMBLES. Builds each concrete thing once, owns lifetimes, holds no logic.

sockets.py   addresses -> bound sockets
process.py   one process: store, upstream, gateway, the two listeners, from start to drain
workers.py   several of them on the same ports
leash.py     a child that ends with its parent
"""
