"""Counterexamples about one transaction: two commands for it, or none. Played with any wording.

Each story comes to its crash point with every wording; what happens then is up to the sink. Shared
opening: a transaction's intent stands in the log, and its one request has not been sent.
"""

from __future__ import annotations

from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.entries import Intent, Operation
from exactly_once_kusto.protocol.outcome import Accepted, Lost
from exactly_once_kusto.testing.processes import Running
from exactly_once_kusto.testing.scenarios import Scenario
from exactly_once_kusto.testing.schedules import Setting
from exactly_once_kusto.testing.simulated_requests import LATE, REPLY_LOST

ACCESS_S = 900.0
SETTLE_S = 60.0
DAY_S = 86_400.0
NOT_ATOMIC = Setting(writers=1, atomic=False)
TAGS_EXPIRE = Setting(writers=1, atomic=True, tags_kept_s=DAY_S)


def asleep_before_its_request(setting: Setting) -> tuple[Scenario, Running, Running]:
    """Return a scene, the coordinator that sleeps before its request, and its successor."""
    scene = Scenario(setting)
    scene.checkpoint(scene.job)
    scene.bring(scene.run(), ev.Submit)
    assert isinstance(scene.entries()[-1], Intent)
    sleeper = scene.pause(scene.job)
    successor = scene.run()
    scene.get_ready(successor)
    return scene, sleeper, successor


def send_late(scene: Scenario, sleeper: Running) -> None:
    """Let the sleeper send its request: it is taken."""
    answer = scene.do(sleeper, ev.Submit)
    assert isinstance(answer, ev.Submitted)
    assert isinstance(answer.submission, Accepted)


def sent_after_the_successor_looked() -> Scenario:
    """The successor looks and finds nothing; then the sleeper sends its request."""
    scene, sleeper, successor = asleep_before_its_request(NOT_ATOMIC)
    scene.work(successor)
    send_late(scene, sleeper)
    scene.kusto_reads()
    scene.kusto_works()
    return scene


def tag_expires_between_two_commands() -> Scenario:
    """As before, but Kusto refuses a second command as long as the first one's tag is there."""
    scene, sleeper, successor = asleep_before_its_request(TAGS_EXPIRE)
    scene.work(successor)
    send_late(scene, sleeper)
    scene.end_command(scene.kusto.alive()[-1])
    scene.kusto_reads()
    scene.pass_time(successor, 2 * DAY_S)
    scene.expire_tags()
    return scene


def look_from_before_the_end_of_access() -> Scenario:
    """What the successor saw before the request was sent is heard after access has expired."""
    scene, sleeper, successor = asleep_before_its_request(TAGS_EXPIRE)
    answer = scene.do(successor, ev.Look, heard=False)
    assert isinstance(answer, ev.Looked)
    assert not answer.sighting.extents
    send_late(scene, sleeper)
    scene.kusto_works()
    scene.pass_time(None, ACCESS_S + SETTLE_S + 1)
    scene.work(successor)
    scene.kusto_reads()
    scene.pass_time(successor, 2 * DAY_S)
    scene.expire_tags()
    return scene


def command_outlives_its_access() -> Scenario:
    """A command has read its blobs in time, and has its rows in days after access expired."""
    scene, sleeper, successor = asleep_before_its_request(TAGS_EXPIRE)
    send_late(scene, sleeper)
    first = scene.kusto.alive()[0]
    scene.kusto_reads()
    scene.pass_time(successor, ACCESS_S + 2 * SETTLE_S)
    for each in [each for each in scene.kusto.alive() if each is not first]:
        scene.end_command(each)
    scene.pass_time(successor, 2 * DAY_S)
    assert first.phase == "reading"
    scene.kusto.expire()
    scene.end_command(first)
    return scene


def record_appears_after_access_expired() -> Scenario:
    """A late request begins just before its access ends; its record appears half a minute later."""
    scene = Scenario(Setting(writers=1, atomic=False, records_late_s=SETTLE_S / 2))
    scene.checkpoint(scene.job)
    answer = scene.do(scene.run(), ev.Submit, fault=LATE)
    assert isinstance(answer, ev.Submitted)
    assert isinstance(answer.submission, Lost)
    successor = scene.kill(scene.job)
    scene.pass_time(successor, ACCESS_S - 5)
    scene.kusto.deliver(0)
    scene.kusto_reads()
    scene.pass_time(successor, 10)
    scene.kusto_reads()
    scene.kusto_works()
    return scene


def answer_lost_behind_the_request() -> Scenario:
    """A request is taken, its answer is lost."""
    scene = Scenario(NOT_ATOMIC)
    scene.checkpoint(scene.job)
    scene.do(scene.run(), ev.Submit, fault=REPLY_LOST)
    assert scene.kusto.operations
    scene.kusto_reads()
    scene.kusto_works()
    return scene


def killed_behind_the_request() -> Scenario:
    """The coordinator is killed when its request was taken; more rows have come meanwhile."""
    scene = Scenario()
    scene.checkpoint(scene.job)
    scene.do(scene.run(), ev.Submit, heard=False)
    successor = scene.kill(scene.job)
    assert len(scene.kusto.alive()) == 1
    scene.get_ready(successor)
    scene.checkpoint(scene.job)
    scene.work(successor)
    scene.kusto_works()
    return scene


def command_runs_when_its_successor_comes() -> Scenario:
    """The coordinator is killed when the operation stands in the log; the command still runs."""
    scene = Scenario(NOT_ATOMIC)
    scene.checkpoint(scene.job)
    scene.do(scene.run(), Operation)
    successor = scene.kill(scene.job)
    scene.work(successor)
    scene.kusto_reads()
    scene.kusto_works()
    return scene


def half_of_the_rows() -> Scenario:
    """A command ends with half of its rows in."""
    scene = Scenario()
    scene.checkpoint(scene.job, rows=2)
    scene.do(scene.run(), Operation)
    scene.end_command(scene.kusto.alive()[0], fault=3)
    assert sum(scene.simulation.truth.shown.values()) == 1
    scene.work(scene.run())
    return scene


def command_fails() -> Scenario:
    """A command ends without rows."""
    scene = Scenario()
    scene.checkpoint(scene.job)
    scene.do(scene.run(), Operation)
    command = scene.kusto.alive()[0]
    scene.end_command(command, fault=1)
    assert command.state == "Failed"
    scene.pass_time(scene.run(), 1.0)
    return scene


def evidence_expires_before_it_is_seen() -> Scenario:
    """Answer lost, rows in, and Kusto is not asked before their tag has expired."""
    scene = Scenario(TAGS_EXPIRE)
    scene.checkpoint(scene.job)
    scene.do(scene.run(), ev.Submit, fault=REPLY_LOST)
    scene.kusto_works()
    scene.pass_time(None, 2 * DAY_S)
    scene.expire_tags()
    scene.pass_time(scene.run(), 3600.0)
    return scene
