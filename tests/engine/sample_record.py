from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from engine.record import Attempt, CallRecord, KeyPress, Leg, Request, Spoken, StepTrace, Tokens, ToolUse, Written

START = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)


def full_record(call_id: str = "call-1", **fields: object) -> CallRecord:
    record = CallRecord(
        id=call_id, engine="pbx-1", flow="reception", revision="abc", did="+14155550100", caller="+14155550199",
        trunk="carrier", started=START, answered=START + timedelta(milliseconds=250), outcome="handed_off",
        ended=START + timedelta(seconds=61), hangup_by="caller", cause=16, result="sold", timings={"setup": 12.5},
        legs=[Leg(id="c1", kind="caller", party="+14155550199", started=START, cause=16),
              Leg(id="t1", kind="target", party="pjsip:teams", started=START, sip_code=200)],
        attempts=[Attempt(step="person", target="pjsip:busy", status="busy", reason="no line", sip_code=486, q850=17,
                          started=START)],
        steps=[StepTrace(path="steps/0", verb="say", where="a.flow.yaml:3", started=START, ms=900, outcome="done"),
               StepTrace(id="p", path="steps/1", verb="transfer", where="a.flow.yaml:4", started=START,
                         data={"target": "pjsip:teams", "deep": [1, None, {"é": 1.5}]})],
        transcript=[Spoken(role="voice", text="Bonjour, ça va ?", at=START, step="greet", interrupted=True)],
        tools=[ToolUse(name="price", at=START, ms=40, outcome="ok", arguments={"dish": "é"})],
        presses=[KeyPress(key="1", at=START, step="steps/1")], headers={"X-Plan": "gold"}, input={"plan": 1},
        requests=[Request(endpoint="pos", method="GET", path="/menu", at=START, ms=12, outcome="ok", status=200,
                          answer={"price": "…"})],
        written=[Written(at=START, ms=300, outcome="ok", step="steps/1", answer="Bonjour")],
        tokens=[Tokens(provider="openai", model="m", turns=2, input_audio=100, cached=3, cost=Decimal("0.003200001"),
                       costs={"input_audio": Decimal("0.003200001")}, unpriced=["items"], seconds_heard=1.5)],
        cost=Decimal("0.003200001"), currency="USD",
    )  # fmt: skip
    return record.model_copy(update=fields)
