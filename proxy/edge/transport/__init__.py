"""Our own connections to upstream: HTTP/1.1 on asyncio transports, read by llhttp.

upstream     the `Upstream` port: one call, from the head to a clean end or a break
origins      where an account's calls go, and what their heads say
seats        how many calls may be under way to an account
dialling     names, addresses, TLS
pool         connections that wait for the next call
connection   one connection: what is written, what comes, and whose turn it is
uploads      a body on its way up
reading      llhttp's events, made into answers
answers      an answer whose body is still coming
deadlines    one timer for many waits
"""

from proxy.edge.transport.upstream import WireUpstream

__all__ = ["WireUpstream"]
