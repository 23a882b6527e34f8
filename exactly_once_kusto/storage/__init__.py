"""Objects created only if absent: what staged parts and the ledger stand on.

`objects` says what a store promises, `local_directory` keeps it in a directory (or a share that
all workers and the target can read), `address` finds the store that an address means, and `log`
is the ledger's log over any store.
"""
