"""The two-phase-commit protocol: values, ledger, coordinator, ports. No I/O, clock or randomness.

Rule 1: everything that decides what is committed, tried again or refused lives in this package.
Rule 2: nothing here waits, reads a clock or draws a random number: the time, a nonce and a jitter
arrive with every event (`events.Moment`), and every effect is an action that a driver performs
through a port. So the same code runs in the job and in the simulator.
"""
