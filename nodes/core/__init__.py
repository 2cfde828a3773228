"""The rules of the payment protocol, as plain Python that knows nothing of IO.

How two-phase commit works here, in the order to read it:

1. `messages`: what is said between gateway and banks, as tuples.
2. `coordinator`: the gateway's side. Payments and votes go in, prepares and
   decisions come out.
3. `participant`: a bank's side. Prepares and decisions go in, votes come out;
   `ledger` keeps its accounts, holds and journal.
4. `names`, `money`, `violations`: what may be called what, amounts, malformed requests.

Nothing here reads a clock, rolls dice, opens a socket or a file. Both sides work in
*turns*. A turn takes whatever has gathered, calls the rules for each piece, and ends
with effects. Whoever drives the rules (the programs in `nodes.gateway` and
`nodes.bank`, or a simulator) has these duties, and the protocol holds only if they
are kept:

1. **Look up first.** Hand over what is on record for each key of the turn: the rules
   see the disk only through what they are given.
2. **Write before you speak.** Make a turn's records durable, all of them in one
   transaction, before any of its replies, votes or decisions leaves. Prepares alone
   may leave at once: they rest on nothing but the epoch, which was durable before.
3. **Stop on failure.** If that write fails, end the process without a word. The next
   start begins from the disk.
4. **One turn at a time**, in one thread.
5. **A new epoch for each start** of the gateway, durable before it serves.

Sources: Gray, Notes on Data Base Operating Systems (1978); Mohan and Lindsay,
Efficient Commit Protocols for the Tree of Processes (1983), presumed abort; Gray and
Lamport, Consensus on Transaction Commit (2006), for the names; O'Neil, The Escrow
Transactional Method (1986), holds instead of locks; etcd/raft doc.go, for the duties.
"""
