"""How much a node shows of its records at once: what asks and what answers go by the same number."""

RECORDS_PAGE = 4000
