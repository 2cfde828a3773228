"""Says in words what happens, for traces."""

from nodes.core.messages import Decide, Payment, Prepare, TransactionKey, Vote
from tests.model.nodes import Event, Message, Opening, Question

_HAPPENS = {
    "open": "opens a stream",
    "ask": "asks about what it holds in doubt",
    "restart": "dies and starts again",
    "deadline": "finds that the deadline of what is open has come",
}


def describe(node: str, event: Event | Message) -> str:
    """Say in a line what happens to a node."""
    match event:
        case Message(sender, _, content):
            happens = f"hears {sender}: {_quote(content)}"
        case Event("begin", Payment() as payment):
            happens = f"is asked by a client for payment {payment.payment_id[0]}"
        case Event("disconnect", bank):
            happens = f"loses its stream to {bank}"
        case Event(what):
            happens = _HAPPENS[what]
    return f"{node:10} {happens}"


def _quote(content: object) -> str:
    match content:
        case Prepare():
            return f"prepare {_name((content.payment_id, content.payer, content.epoch))}"
        case Decide():
            return f"{'commit' if content.commit else 'abort'} {_name(content[:3])}"
        case Vote():
            return f"{content.kind.name.lower()} to {_name(content[:3])}"
        case Opening(in_doubt):
            return f"in doubt here: {', '.join(map(_name, in_doubt)) or 'nothing'}"
        case Question(transaction):
            return f"what of {_name(transaction)}?"
        case _:
            raise AssertionError(content)


def _name(transaction: TransactionKey) -> str:
    return f"payment {transaction[0][0]} of epoch {transaction[2]}"
