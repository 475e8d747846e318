-- What readers look up, built from events and nothing else. Amounts are exact decimals as text; times are milliseconds
-- since 1970-01-01T00:00Z; `body` is the event as the API shows it.
CREATE TABLE progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL -- the last command whose events are here
) STRICT;
INSERT INTO progress VALUES (1, 0);

CREATE TABLE ledger (
    event INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    asset TEXT NOT NULL,
    pool TEXT NOT NULL,
    reason TEXT NOT NULL,
    amount TEXT NOT NULL,
    balance TEXT NOT NULL,
    market TEXT,
    liquidation INTEGER,
    account TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX ledger_of_asset ON ledger (asset, event);

CREATE TABLE liquidations (
    liquidation INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    asset TEXT NOT NULL,
    market TEXT, -- where the scope is one isolated position
    started INTEGER NOT NULL,
    ended INTEGER,
    outcome TEXT,
    equity TEXT NOT NULL,
    maintenance_margin TEXT NOT NULL
) STRICT;
CREATE INDEX liquidations_of_account ON liquidations (account, liquidation);

CREATE TABLE settlements (
    event INTEGER PRIMARY KEY,
    liquidation INTEGER NOT NULL,
    market TEXT NOT NULL,
    quantity TEXT NOT NULL,
    price TEXT NOT NULL,
    bankruptcy_price TEXT NOT NULL,
    notional TEXT NOT NULL,
    fee TEXT NOT NULL,
    surplus TEXT NOT NULL,
    shortfall TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX settlements_of_liquidation ON settlements (liquidation, event);
CREATE INDEX settlements_of_market ON settlements (market, liquidation);

CREATE TABLE adl (
    event INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    market TEXT NOT NULL,
    account TEXT, -- none where auto-deleveraging is triggered
    liquidation INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX adl_of_account ON adl (account, event);
CREATE INDEX adl_of_market ON adl (market, event);

-- Sums of a UTC day: ledger entries by reason, liquidations, their settlements and shortfalls, ADL cuts.
CREATE TABLE daily (
    day TEXT NOT NULL,
    asset TEXT NOT NULL,
    line TEXT NOT NULL,
    count INTEGER NOT NULL,
    amount TEXT NOT NULL,
    PRIMARY KEY (asset, day, line)
) STRICT, WITHOUT ROWID;
