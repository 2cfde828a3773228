-- The books of one bank, as an expert would write them for speed: every lock is short, every index is
-- needed, and what must hold is checked by the database.

-- Room on each page for the next version of a row, so that an update touches no index.
CREATE TABLE account (
    id integer PRIMARY KEY,
    posted bigint NOT NULL CHECK (posted >= 0)
) WITH (fillfactor = 50);

-- One row for each payment that this bank took part in: the journal, and by its key the proof that
-- no payment is posted twice.
CREATE TABLE entry (
    payment_id uuid PRIMARY KEY,
    customer integer NOT NULL,
    counterparty integer NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL DEFAULT 'INR',
    memo text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now()
);

-- A customer's history, newest first, without a scan: payment ids are ordered by time.
CREATE INDEX entry_by_customer ON entry (customer, payment_id);

-- Posts one side of a payment: amount below zero for the payer, above for the payee.
CREATE FUNCTION post(payment uuid, customer_id integer, counterparty_id integer, moved bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO entry (payment_id, customer, counterparty, amount) VALUES (payment, customer_id, counterparty_id, moved);
    UPDATE account SET posted = posted + moved WHERE id = customer_id AND posted + moved >= 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'insufficient_funds';
    END IF;
END $$;

-- The same for many payments: each account is updated once; one that would go below zero fails them all.
CREATE FUNCTION post_many(payments uuid[], customers integer[], counterparties integer[], moved bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wanted integer;
    updated integer;
BEGIN
    INSERT INTO entry (payment_id, customer, counterparty, amount)
    SELECT * FROM unnest(payments, customers, counterparties, moved);
    SELECT count(DISTINCT customer) INTO wanted FROM unnest(customers) AS customer;
    UPDATE account SET posted = posted + total
    FROM (SELECT customer, sum(amount)::bigint AS total FROM unnest(customers, moved) AS side (customer, amount)
          GROUP BY customer) AS sums
    WHERE id = customer;
    GET DIAGNOSTICS updated = ROW_COUNT;
    IF updated <> wanted THEN
        RAISE EXCEPTION 'account_not_found';
    END IF;
END $$;
