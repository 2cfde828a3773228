"""Net positions: what two banks say of each other must be the same."""

from nodes.core.settlement import Clearing, find_imbalances, sum_paid_in

SOUND = {
    "HDFC": {"INR": Clearing(1000, {"ICICI": 300, "SBI": -50})},
    "ICICI": {"INR": Clearing(500, {"HDFC": -300})},
    "SBI": {"INR": Clearing(500, {"HDFC": 50}), "USD": Clearing(9, {})},
}


def test_books_that_mirror_each_other_are_in_balance():
    assert find_imbalances(SOUND) == []
    assert sum_paid_in(SOUND) == {"INR": 2000, "USD": 9}
    assert sum(clearing["INR"].customers for clearing in SOUND.values()) == 2000


def test_a_payment_that_only_one_of_them_has_posted_is_seen_with_its_amount():
    torn = SOUND | {"ICICI": {"INR": Clearing(500, {"HDFC": -290})}}
    assert find_imbalances(torn) == ["HDFC and ICICI differ by 10 INR in what they owe each other"]


def test_gaps_that_would_cancel_out_in_the_sum_of_all_are_seen():
    torn = SOUND | {"ICICI": {"INR": Clearing(500, {"HDFC": -290, "SBI": -10})}}
    assert len(find_imbalances(torn)) == 2


def test_gaps_of_two_currencies_do_not_cancel_out():
    torn = {
        "HDFC": {"INR": Clearing(0, {"SBI": 7}), "USD": Clearing(0, {"SBI": 3})},
        "SBI": {"INR": Clearing(0, {"HDFC": -3}), "USD": Clearing(0, {"HDFC": -7})},
    }
    assert find_imbalances(torn) == [
        f"HDFC and SBI differ by 4 {currency} in what they owe each other" for currency in ("INR", "USD")
    ]
