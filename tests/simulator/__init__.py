"""A deterministic simulator: the real rules and the real stores through millions of bad days.

One process holds a whole cluster: the gateway's `take_turn` with its coordinator and
store, three banks' `take_turn` with participant, ledger and store, and clients that
want to move money. The databases are SQLite, in memory: a *disk* is a connection that
outlives the node that uses it. Everything else is a bag of messages and a seeded
random choice of what happens next:

    world.py      nodes, disks, the bag of messages, and each thing that can happen
    schedule.py   one schedule: a safety phase full of faults, then a liveness phase
                  in which faults stop and everything must come to an end
    checkers.py   what must hold, read from the disks and from what clients were told;
                  knows nothing of how it came about
    mutants.py    deliberate bugs in the rules, each of which must be caught

Messages are lost, doubled, kept for long and overtake each other, far beyond what one
gRPC stream would do; a node may die between any two effects: before its turn is
durable, after it is durable and before a word is said, or after some of the words.

A schedule is a function of its seed: the same seed gives the same events, to the
digest. Run ``python -m tests.simulator --help``.
"""
