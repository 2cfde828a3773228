"""`cluster chaos run`: a cluster is loaded and broken by a seeded schedule, then judged by its files.

1. `schedule` draws from a seed what is broken when. It is data: written into the report,
   and read back to do the same again.
2. `stage` makes a test cluster of its own, in a folder that is kept if anything is wrong; or takes the one
   that runs here, which was sound before and goes on afterwards.
3. `callers` pay and look, each in a thread; `courier` is a process that pays from an
   outbox, and is killed as well. All write down each answer (`history`).
4. `nemesis` breaks what the schedule says, when it says so.
5. Then all is healed; callers settle what they do not know yet; the cluster is stopped.
6. `judge` compares what anyone was told with the database files, by the audit and by
   rules of its own about histories. Nothing is asked of a running node. A campaign in which
   nobody paid, or nothing was broken that should have been, has failed: it proves nothing.
7. `report` writes the verdict, a page with pictures, JUnit, and the bundle for a replay.

Times are seconds since the campaign began, on the one monotonic clock of the machine.
Sources: Jepsen (bank test, histories, nemeses), TigerBeetle's Vortex, etcd's robustness tests.
"""
