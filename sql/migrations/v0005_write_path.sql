-- What a row costs the server when logs come by the hundred thousand.

-- The server checks a foreign key row by row, which took twice the time of the row itself. Positions are
-- written by one function, with the key of a market that it has just read or written, and whoever deletes
-- a market deletes its positions first.
alter table position drop constraint position_market_id_fkey;

-- Room in each page for the new version of a row, so that an update need not enter both indexes again.
alter table position set (fillfactor = 70);

-- Plain types: each domain is a check for each value, and together they were an eighth of a line's cost.
-- All of these values come out of a log's words, which have their width already. The position keeps its
-- domains: it is what verdicts rest on.
alter table user_operation
  drop constraint user_operation_kind_check,
  alter column user_address type bytea,
  alter column caller type bytea,
  alter column transaction_hash type bytea,
  alter column assets type numeric(78, 0),
  alter column shares type numeric(78, 0);
