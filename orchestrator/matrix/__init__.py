"""The crash matrix: every crash point, at every process that comes there, while payments run.

For each cell a process is ordered to crash (`orchestrator.chaos.crashing`), is brought to the
point (`provocations`), and what comes of it is judged (`judging`): the cluster serves
again, nothing stays in doubt, no money was made or lost, and all that anyone was ever told
is still true, by its id and when it is sent again. At the end the cluster is taken down and
all files are compared with each other and with what the callers were told
(`nodes.core.audit`). A point that could not be reached counts as a failure.

All of it happens in clusters of its own (`ground`) with the profile test.
"""
