"""Fuzzing: what nobody would send, to every RPC and every text that people write.

`world` is a gateway and its banks in one process, without network or disk: real services
behind the real interceptor, real turns, real SQL. `mutation` makes requests, from the
message types' own grammar and from bytes. `targets` ties both together and says what
must hold for each request; `__main__` runs them by the million, `coverage_guided` lets
atheris look for new paths.
"""
