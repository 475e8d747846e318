-- What readers look up, built from events and nothing else. Amounts are exact decimals as text; times are milliseconds
-- since 1970-01-01T00:00Z; days are counted from 1970-01-01; `body` is the event as the API shows it.
CREATE TABLE progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL, -- the last command whose events are here
    time INTEGER NOT NULL, -- that of the last event
    claims INTEGER NOT NULL -- how many claims have been opened
) STRICT;
INSERT INTO progress VALUES (1, 0, 0, 0);

-- Every event but marks, accounts and positions as they change, and refusals.
CREATE TABLE events (
    event INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    cause INTEGER NOT NULL, -- the command
    type TEXT NOT NULL,
    market TEXT,
    asset TEXT,
    account TEXT,
    liquidation INTEGER,
    body TEXT NOT NULL
) STRICT;
-- Each index ends with the number of the event by itself.
CREATE INDEX events_of_type ON events (type);
CREATE INDEX events_of_account ON events (account) WHERE account IS NOT NULL;
CREATE INDEX events_of_liquidation ON events (liquidation) WHERE liquidation IS NOT NULL;
CREATE INDEX ledger_of_asset ON events (asset) WHERE type = 'fund_entry';
CREATE INDEX adl_of_market ON events (market) WHERE type IN ('adl_triggered', 'deleveraged');

-- Each liquidation with the sums of its settlements.
CREATE TABLE liquidations (
    liquidation INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    asset TEXT NOT NULL,
    market TEXT, -- where the scope is one isolated position
    started INTEGER NOT NULL,
    ended INTEGER,
    outcome TEXT,
    equity TEXT NOT NULL,
    maintenance_margin TEXT NOT NULL,
    notional TEXT NOT NULL,
    fee TEXT NOT NULL,
    surplus TEXT NOT NULL,
    shortfall TEXT NOT NULL
) STRICT;
CREATE INDEX liquidations_of_account ON liquidations (account);

-- The markets that a liquidation is about or has settled in.
CREATE TABLE liquidation_markets (
    market TEXT NOT NULL,
    liquidation INTEGER NOT NULL,
    PRIMARY KEY (market, liquidation)
) STRICT, WITHOUT ROWID;

-- The `mark_updated` in force in a market at each tick in which something was liquidated or deleveraged there.
CREATE TABLE marks (
    market TEXT NOT NULL,
    event INTEGER NOT NULL,
    time INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (market, event)
) STRICT, WITHOUT ROWID;
-- The last `mark_updated` of each UTC day.
CREATE TABLE latest_marks (
    market TEXT NOT NULL,
    day INTEGER NOT NULL,
    event INTEGER NOT NULL,
    time INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (market, day)
) STRICT, WITHOUT ROWID;

-- What never changes about a market.
CREATE TABLE markets (
    market TEXT PRIMARY KEY,
    asset TEXT NOT NULL,
    inverse INTEGER NOT NULL,
    contract_size TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Sums of a UTC day, by part and line.
CREATE TABLE sums (
    asset TEXT NOT NULL,
    day INTEGER NOT NULL,
    part TEXT NOT NULL,
    line TEXT NOT NULL,
    count INTEGER NOT NULL,
    amount TEXT NOT NULL,
    PRIMARY KEY (asset, day, part, line)
) STRICT, WITHOUT ROWID;

-- What each pool held after its last entry of a UTC day.
CREATE TABLE balances (
    asset TEXT NOT NULL,
    pool TEXT NOT NULL,
    day INTEGER NOT NULL,
    balance TEXT NOT NULL,
    PRIMARY KEY (asset, pool, day)
) STRICT, WITHOUT ROWID;

-- What the fund had taken over and not sold yet after the last change of a UTC day. Short is negative.
CREATE TABLE inventory (
    market TEXT NOT NULL,
    day INTEGER NOT NULL,
    quantity TEXT NOT NULL,
    PRIMARY KEY (market, day)
) STRICT, WITHOUT ROWID;

-- The ten largest of a UTC day: ADL cuts by their size, shortfalls by their amount.
CREATE TABLE largest (
    asset TEXT NOT NULL,
    day INTEGER NOT NULL,
    what TEXT NOT NULL,
    event INTEGER NOT NULL,
    amount TEXT NOT NULL,
    PRIMARY KEY (asset, day, what, event)
) STRICT, WITHOUT ROWID;

-- How far a source that was fresh stood from the index at most on a UTC day, as a part of the index.
CREATE TABLE deviations (
    market TEXT NOT NULL,
    day INTEGER NOT NULL,
    deviation TEXT NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL,
    price TEXT NOT NULL,
    index_price TEXT NOT NULL,
    event INTEGER NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (market, day)
) STRICT, WITHOUT ROWID;

-- Ledger entries by reason, liquidations, their settlements and shortfalls, ADL cuts.
CREATE VIEW daily AS
    SELECT date(day * 86400, 'unixepoch') AS day, asset, line, count, amount FROM sums WHERE part = 'daily';

CREATE VIEW ledger AS
    SELECT event, time, asset, json_extract(body, '$.pool') AS pool, json_extract(body, '$.reason') AS reason,
        json_extract(body, '$.amount') AS amount, json_extract(body, '$.balance') AS balance, market, liquidation,
        account, body
    FROM events WHERE type = 'fund_entry';

CREATE VIEW settlements AS
    SELECT event, time, liquidation, account, market, json_extract(body, '$.quantity') AS quantity,
        json_extract(body, '$.price') AS price, json_extract(body, '$.bankruptcy_price') AS bankruptcy_price,
        json_extract(body, '$.fee') AS fee, json_extract(body, '$.surplus') AS surplus,
        json_extract(body, '$.shortfall') AS shortfall, body
    FROM events WHERE type = 'liquidation_settled';

CREATE VIEW adl AS
    SELECT event, time, type, market, account, liquidation, json_extract(body, '$.side') AS side,
        json_extract(body, '$.quantity') AS quantity, json_extract(body, '$.price') AS price, body
    FROM events WHERE type IN ('adl_triggered', 'deleveraged');
