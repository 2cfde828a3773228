"""What commands exit with, in one table. `cluster status` adds bits of its own, see its help."""

OK = 0
FAILED = 1
USAGE = 2
DECLINED = 3
"""`cluster shell`, not typed into: a payment was declined."""
INTERRUPTED = 130
