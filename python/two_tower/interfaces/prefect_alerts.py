"""Alarms: the project's Prefect server calls a webhook when a run goes wrong.

``two-tower alerts URL`` creates the automations of ``automations.yaml`` on the server. The server
itself sends the test message, as it will send the alarms: a firewall between it and the URL, or a
service that is not running, shows now and not at the first alarm.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import yaml

from two_tower.core import prefect_server
from two_tower.core.errors import InputError, UnavailableError
from two_tower.core.progress import console
from two_tower.core.settings import Settings

BLOCK, TRIAL = "two-tower", "two-tower-trial"
PLACE_OF_BLOCK = "WEBHOOK_BLOCK_ID"
# Time for the server's services to see an event, act on it and record that they did.
TEST_SECONDS = 60
REPEAT_SECONDS = 5
# The server writes its events down every five seconds.
SENT_SECONDS = 20
CRASHED = "prefect.flow-run.Crashed"
ACTED = ("prefect.automation.action.executed", "prefect.automation.action.failed")
UNCHANGED = "the alarms are as they were"


@dataclass(frozen=True)
class Alerts:
    """The alarms of a server.

    Attributes:
        server: its API.
        webhook: the host that is called; the rest of the URL is a secret.
        test_message: what the host answered to it.
        automations: their names.
    """

    server: str
    webhook: str
    test_message: str
    automations: list[str]


def create(settings: Settings, url: str) -> Alerts:
    """Send a test message to a webhook; if it arrives, create or update the alarms.

    Args:
        settings: the project.
        url: takes a POST of ``{"text": "…"}``, as Slack's and Mattermost's do.

    Raises:
        InputError: it is not a URL, or what answers there refused the message; no setting names a
            server that lasts.
        UnavailableError: the server does not answer, or could not reach the URL.
    """
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise InputError(
            "this is not the URL of a webhook", "two-tower alerts https://hooks.example/…"
        )
    with prefect_server.connected(settings) as client:
        trial = _save_webhook(TRIAL, url)
        try:
            with console.status("Waiting for the test message to be sent"):
                answer = _send_test(client, trial, place.hostname)
        finally:
            client.delete_block_document(UUID(trial))
        names = _put_automations(client, _save_webhook(BLOCK, url))
        return Alerts(str(client.api_url).rstrip("/"), place.hostname, answer, names)


def _save_webhook(name: str, url: str) -> str:
    """Save a webhook block and return its id."""
    from prefect.blocks.webhook import Webhook

    headers = {"Content-Type": "application/json"}
    return str(Webhook(method="POST", url=url, headers=headers).save(name, overwrite=True))


def _send_test(client: Any, block: str, host: str) -> str:
    """Call the webhook through a temporary automation; return its answer."""
    from prefect.events.schemas.automations import AutomationCore

    event = f"two-tower.test-message.{uuid4()}"
    message = {"text": "two-tower: alarms of its runs will come here. This one is a test."}
    trigger = {
        "type": "event",
        "posture": "Reactive",
        "expect": [event],
        "threshold": 1,
        "within": 2 * TEST_SECONDS,  # fires once, for any number of events
    }
    action = {
        "type": "call-webhook",
        "block_document_id": block,
        "payload": json.dumps(message),
    }
    trial = AutomationCore.model_validate(
        {"name": "two-tower test message", "trigger": trigger, "actions": [action]}
    )
    automation = client.create_automation(trial)
    try:
        return _answer(client, automation, event, host)
    finally:
        client.delete_automation(automation)


def _answer(client: Any, automation: UUID, event: str, host: str) -> str:
    """Emit the event until the server has recorded the call's outcome."""
    # A new automation takes effect with a delay.
    for _ in range(TEST_SECONDS // REPEAT_SECONDS):
        _emit(client, event)
        repeat = time.monotonic() + REPEAT_SECONDS
        while time.monotonic() < repeat:
            for outcome in _outcomes(client, automation):
                return _judged(outcome, host)
            time.sleep(0.5)
    raise UnavailableError(
        f"the Prefect server did not send the test message within {TEST_SECONDS} s",
        f"do its services run (prefect server start without --no-services)? {UNCHANGED}",
    )


def _emit(client: Any, event: str) -> None:
    happened = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": event,
        "resource": {"prefect.resource.id": "two-tower.alerts"},
    }
    client.request("POST", "/events", json=[happened]).raise_for_status()


def _outcomes(client: Any, automation: UUID, since: datetime | None = None) -> list[dict[str, Any]]:
    """Return the recorded outcomes of the automation's calls."""
    from prefect.events.filters import EventFilter

    wanted = {
        "event": {"name": ACTED},
        "resource": {"id": [f"prefect.automation.{automation}"]},
    } | ({"occurred": {"since": since}} if since else {})
    events = client.read_events(EventFilter.model_validate(wanted), limit=50).events
    return [event.payload for event in events]


def _judged(outcome: dict[str, Any], host: str) -> str:
    status = outcome.get("status_code")
    if status is None:
        raise UnavailableError(
            f"the server could not reach {host}: {outcome.get('reason')}", UNCHANGED
        )
    if not 200 <= status < 300:
        said = str(outcome.get("response_body") or "").strip()[:200]
        raise InputError(
            f"{host} refused the test message: HTTP {status} {said}".rstrip(),
            f"is the URL right? {UNCHANGED}",
        )
    return f"arrived, HTTP {status}"


def wait_for_crashed(client: Any, runs: int, since: datetime) -> None:
    """Wait until the server has called the webhook for runs that were marked Crashed.

    A server that ends with its events in hand would call nobody.

    Args:
        client: a synchronous client of the server.
        runs: that were marked.
        since: before the first of them was.
    """
    declared = _declared("")
    names = [one["name"] for one in declared if CRASHED in one["trigger"].get("expect", ())]
    alarms = [one for name in names for one in client.read_automations_by_name(name) if one.enabled]
    deadline = time.monotonic() + SENT_SECONDS
    while time.monotonic() < deadline:
        if all(len(_outcomes(client, one.id, since)) >= runs for one in alarms):
            return
        time.sleep(0.5)
    console.print(f"warning: no alarm was sent within {SENT_SECONDS} s.", highlight=False)


def _put_automations(client: Any, block: str) -> list[str]:
    """Create the automations of the project's file, or update those of the same name."""
    from prefect.events.schemas.automations import AutomationCore

    names = []
    for declared in _declared(block):
        automation = AutomationCore.model_validate(declared)
        found = client.read_automations_by_name(automation.name)
        for one in found[1:]:
            client.delete_automation(one.id)
        if found:
            client.update_automation(found[0].id, automation)
        else:
            client.create_automation(automation)
        names.append(automation.name)
    return names


def _declared(block: str) -> list[dict[str, Any]]:
    """Read the project's file; its webhook is the given block."""
    text = Path("automations.yaml").read_text(encoding="utf-8").replace(PLACE_OF_BLOCK, block)
    automations: list[dict[str, Any]] = yaml.safe_load(text)["automations"]
    return automations
