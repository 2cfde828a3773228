"""What commands exit with, in one table. `cluster status` adds bits of its own, see its help."""

OK = 0
FAILED = 1
USAGE = 2
DECLINED = 3
"""`cluster shell`, not typed into: a payment was declined."""
QUEUED = 4
"""`cluster shell`, not typed into: a payment waits in the outbox."""
AUDIT_FAILED = 8
"""`cluster audit`, and a bit of `cluster status`: records do not agree, or money was made or lost."""
INTERRUPTED = 130
