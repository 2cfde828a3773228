"""What every node is built from: database, turns, mutual TLS, server, access rules, logs.

Thin and shared; nothing here knows of payments.
"""
