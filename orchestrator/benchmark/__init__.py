"""`cluster bench`: how many payments a second, how fast each, at what cost; then all is audited.

How a load is measured:

1. `scratch` starts a cluster of its own for the load, the same programs with the same
   durability and the same TLS as any other, in a folder that is removed afterwards.
2. `generators` starts the processes that pay, `generator` is what they run: real
   callers, each with a login, over real connections.
3. After a warm-up, `meter` looks at every process; at the end it looks again. What lies
   between is the measurement: payments that were acknowledged as committed, how long
   each took from its sending to its answer, and the processor's time, memory and fsyncs
   that it cost by process.
4. Callers stop, what is under way ends, and `books` has all records audited: every
   decision, entry, account and chain. A load that fails its audit has failed, however
   fast it was.

Callers and nodes share the machine: what callers cost is in the figures, beside the
rest. All figures of one run compare with each other; those of two machines do not.
"""
