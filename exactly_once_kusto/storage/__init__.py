"""Objects created only if absent: what staged parts and the ledger stand on.

`objects` says what a store promises. `local_directory` keeps it in a directory (or a share that all
workers and the target can read), `azure_container` in Azure Blob Storage, `patience` says how long
either tries again. `address` finds the store that an address means, `access` makes what the target
reads an object with, and `log` is the ledger's log over any store.
"""
