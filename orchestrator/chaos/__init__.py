"""Breaking a running cluster on purpose, by the crash points or before an audience."""
