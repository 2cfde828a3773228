import pytest

from nodes.core.json_text import JsonDocument, format_path, kind, show

TEXT = """{
  "users": [
    {"name": "alice",
     "say": "a \\" { [ , : quote"},

    7
  ],
  "last": {}
}"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("users",), 2),
        (("users", 0), 3),
        (("users", 0, "name"), 3),
        (("users", 0, "say"), 4),
        (("users", 1), 6),
        (("last",), 8),
        (("users", 0, "missing"), 3),
        (("nowhere", 3, "at all"), 1),
    ],
)
def test_a_mistake_names_the_line_of_its_value_or_of_what_should_hold_it(
    path: tuple[str | int, ...], line: int
) -> None:
    document = JsonDocument(TEXT)
    document.refuse(path, "is wrong")
    assert [mistake.line for mistake in document.mistakes] == [line]


def test_a_key_that_comes_twice_is_a_mistake_that_names_both_lines() -> None:
    document = JsonDocument('{"a": {"x": 1},\n "b": {"x": 1,\n "x": 2}}')
    assert [str(mistake) for mistake in document.mistakes] == [
        "2: b.x: is there twice; the second is in line 3: keep one"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: column 1: not JSON: Expecting value"),
        ('{\n "a": 1,\n "b" 2}', "3: column 6: not JSON: Expecting ':' delimiter"),
        ("[" * 100_000, "1: not JSON of a sensible size: a number or the nesting is too long"),
        ("9" * 5000, "1: not JSON of a sensible size: a number or the nesting is too long"),
    ],
)
def test_what_is_not_json_is_one_mistake_with_its_place(text: str, said: str) -> None:
    document = JsonDocument(text)
    assert [str(mistake) for mistake in document.mistakes] == [said]
    assert document.value is None


def test_members_refuses_unknown_and_missing_keys_and_returns_the_rest() -> None:
    document = JsonDocument('{"a": 1, "c": 3}')
    assert document.members((), document.value, ["a", "b"]) == {"a": 1}
    assert [str(mistake) for mistake in document.mistakes] == [
        "1: c: unknown key; known here: a, b",
        "1: b: is missing",
    ]


def test_a_path_is_written_as_people_write_it_and_on_one_line() -> None:
    assert format_path(("users", 2, "role")) == "users[2].role"
    assert format_path((0, "a b\n", "c")) == '[0]["a b\\n"].c'


def test_only_plain_values_are_shown_and_those_cut() -> None:
    assert show({"password": "alice123"}) == "an object"
    assert show(["alice123"]) == "a list"
    assert len(show("x" * 1000)) < 50
    assert show("\x1b[31m\n") == '"\\u001b[31m\\n"'
    assert [kind(value) for value in (1, 1.5, True, None, "x")] == [
        "a number",
        "a number",
        "true or false",
        "null",
        "a text",
    ]
