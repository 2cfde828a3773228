r"""A deterministic simulator: the real rules, turns and stores through millions of bad days.

One process holds a whole cluster and its clients:

- the gateway: `nodes.gateway.turn.take_turn` with its coordinator and store;
- three banks: `nodes.bank.turn.take_turn` with participant, ledger and store;
- three shells: `nodes.client.Delivery` with the outbox, on behalf of users who save,
  send, cancel and lose patience;
- callers without an outbox, who ask again with the same or another body.

Databases are SQLite in memory: a *disk* outlives the process that uses it. Everything
else is a bag of messages and a seeded random choice of what happens next. In the order
to read it:

    disk.py        a database; its process may die at any statement, and what was not committed is torn off
    network.py     the bag: messages are lost, doubled, held up, overtaken, and come again much later
    gateway.py     \
    bank.py         | the processes: what arrives, a turn, what is said; each word may be the last
    shell.py        | (a shell's call plays the schedule on until its answer is there)
    callers.py     /
    world.py       all of these, the clock and the dice
    schedule.py    one schedule: a bad day, in which all sorts of things happen, then a rest, in which
                   faults stop and everything must come to an end
    witness.py     sees each turn and each word, and objects at once          \
    invariants.py  I1 to I12, read from the disks, held against what was seen  } know nothing of how it came about
    cuts.py        what a consistent cut must hold: all that was decided before it, nothing from after  /
    coverage.py    which rows of the rules' state tables were met
    chunks.py      many schedules after each other, in one process of several; violation.py: what is raised
    bugs.py        deliberate bugs in the rules, one a line
    mutants.py     puts each into the real code, and looks for the schedule that catches it

What can happen is the list in `schedule.BadDay`: nodes die, also inside a transaction or between
two words; they are paused past every timeout; streams break; nodes are cut off; days
pass; shells are killed in the middle of a call; users lose the right to pay. How often
each happens is every schedule's own choice. In one schedule of four the streams between gateway and
banks keep their order, as TCP's do, and lose nothing until they break; there, cuts are taken as well.

A schedule is a function of its seed: the same seed gives the same events, to the hash. A line of
``--log`` is the time of the schedule in ms, what happened, and to whom:

    want, again, save PAYMENT   a caller wants a payment, or once more; a user saves one in the outbox
    deliver FROM TO WHAT ...    a message arrives; WHAT is the method of the process that takes it
    turn NODE COUNT             NODE takes a turn over the COUNT messages that had arrived
    time                        time passes, and the gateway takes a turn
    ask BANK                    BANK asks the gateway about what it holds in doubt
    in danger NAME NUMBER       it will die at that statement of its next transaction, if it has so many
    dies NAME WHERE; dead NAME  it ends between two words; it has ended, and what was not on its disk is gone
    start, break, cut or heal   a node starts; a bank's stream breaks; a bank is cut off, or reached again
    calm                        the bad day is over: from here on everything must come to an end

    python -m tests.simulator --schedules 10000 --jobs 2    look for trouble
    python -m tests.simulator --seed 42 --log               see all that happens in one schedule
    python -m tests.simulator --schedules 3000 --rows       see what is met how often
    python -m tests.simulator.mutants                       see how each deliberate bug is caught

To add an invariant: a function in invariants.py (or a look in witness.py, if the disks alone
cannot tell), and a mutant that only it catches. To add a fault: a line in
`schedule.BadDay`. A rule that changes: its row in coverage.py, and its mutants.
"""
