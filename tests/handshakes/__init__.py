"""A storm of TLS handshakes at a server whose certificate, and authority, are replaced all the while.

The server is a process of its own, as a node's is, so that a crash of gRPC's core is seen
as what it is. Each handshake is one of the standard library's TLS, with a client
certificate, and is looked at to its end: the server's preface has come, so it has accepted
the client, and the serial shown is one of those that lay on disk.
"""
