"""All that can happen in a small cluster, not some of it: two banks, two payments, by the real rules.

The simulator meets few of very many days; here every state of a small case is looked at,
in the order of how many steps it takes to get there. So what is wrong is found with the
shortest way that leads to it.

    stores.py   the stores as plain values, held against the real ones by a property test
    nodes.py    gateway and bank as functions of a state and an event, by the real `take_turn`
    space.py    states of the whole: the nodes' states and all that was ever said
    claims.py   what must hold in each
    search.py   breadth first; every so many-th state is also played out, with nothing failing any more,
                and must come to an end
    words.py    says what happens

Messages are lost, doubled, delayed and reordered; the gateway and banks die and start
again; streams open and break; banks ask; deadlines come. What is not here: turns that take
several messages, and clients with other bodies, which the simulator has.

What makes the space large is not that anything goes on for ever (states and messages are finitely many)
but that each word that was ever said may or may not have been: every stream that a bank opens and every
question doubles them. So these are bounded, with the gateway's starts (`space.Bounds`); losing, doubling and
reordering has no bound. A search that meets all states within its bounds says that it has exhausted them:

    python -m tests.model --payments 1 --epochs 2 --streams 2 --inquiries 1      588 thousand states
    python -m tests.model --payments 2 --epochs 1 --streams 2 --inquiries 0      a million
    python -m tests.model --payments 1 --epochs 3 --streams 2 --inquiries 0      1.6 million
    python -m tests.model --payments 1 --epochs 2 --streams 3 --inquiries 2      9.4 million
    python -m tests.model --payments 2 --epochs 2 --streams 1 --inquiries 0      18.3 million
"""
