"""One action, one port call, one event: the step that every driver takes.

The worker takes it in threads, the simulator between two crashes. It decides nothing: transient
errors become events that say 'nothing is known', all others of ours `PortBroke`; what is not ours
is a bug and goes through.
"""

from __future__ import annotations

from exactly_once_kusto.errors import DecodeError, ExactlyOnceError, TransientError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.entries import decode_entry, encode_entry
from exactly_once_kusto.protocol.ports import Brake, LedgerStore, Target

LogAction = ev.ReadLog | ev.Append
TargetAction = ev.CheckTarget | ev.Mint | ev.Submit | ev.Poll | ev.Look
TidyAction = ev.Delete | ev.SetBrake
PortAction = LogAction | TargetAction | TidyAction


def perform(action: PortAction, log: LedgerStore, target: Target, brake: Brake) -> ev.Event:
    """Perform `action` with one port call and return the event that answers it."""
    try:
        if isinstance(action, LogAction):
            return _on_log(action, log)
        if isinstance(action, ev.SetBrake):
            return _set_brake(action, brake)
        if isinstance(action, ev.Delete):
            return _delete(action, target)
        return _on_target(action, target)
    except TransientError as error:
        return _unavailable(action, error)
    except ExactlyOnceError as error:
        return ev.PortBroke(error)


def _on_log(action: LogAction, log: LedgerStore) -> ev.Event:
    if isinstance(action, ev.ReadLog):
        raw = log.read(action.after)
        try:
            entries = tuple((number, decode_entry(number, data)) for number, data in raw)
        except DecodeError as error:
            raise DecodeError(
                f"{log.address}: {error}. Nothing was written or committed; put the entry back "
                "from a copy, or run the build that wrote it"
            ) from error
        return ev.LogRead(entries)
    created = log.append(action.number, encode_entry(action.entry))
    return ev.Appended() if created else ev.NumberTaken()


def _on_target(action: TargetAction, target: Target) -> ev.Event:
    match action:
        case ev.CheckTarget():
            return _check(target)
        case ev.Mint(transaction, attempt):
            return ev.Minted(target.mint(transaction, attempt))
        case ev.Submit(transaction, attempt):
            return ev.Submitted(target.submit(transaction, attempt))
        case ev.Poll(transaction, operation):
            return ev.Polled(target.poll(transaction, operation))
        case ev.Look(transaction, operations, since, until):
            return ev.Looked(target.look(transaction, operations, since, until))


def _check(target: Target) -> ev.Event:
    try:
        target.preflight()
    except TransientError as error:
        return ev.Checked(error, known=False)
    except ExactlyOnceError as error:
        return ev.Checked(error)
    return ev.Checked(None)


def _delete(action: ev.Delete, target: Target) -> ev.Event:
    """Best effort: what is committed is committed, whatever becomes of its parts."""
    try:
        target.delete(action.parts)
    except ExactlyOnceError as error:
        return ev.Deleted(f"staged parts are left for the sweep: {error}")
    return ev.Deleted()


def _set_brake(action: ev.SetBrake, brake: Brake) -> ev.Event:
    """Best effort: writers wait for a limited time only, and what waits is safe."""
    try:
        if action.reason is None:
            brake.take_off()
        else:
            brake.put_on(action.reason)
    except ExactlyOnceError as error:
        return ev.BrakeSet(str(error))
    return ev.BrakeSet()


def _unavailable(action: PortAction, error: TransientError) -> ev.Event:
    if isinstance(action, LogAction):
        return ev.LogUnavailable(str(error))
    return ev.TargetFailed(str(error))
