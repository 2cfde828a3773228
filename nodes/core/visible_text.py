"""Others' words on a terminal: what would move its cursor, recolour it or turn text round is written out."""


def make_visible(text: str) -> str:
    """Return the text with each character that cannot be printed written out as Python would."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
