"""`extract`: data out of a talk or a text, by a text model that answers what the test says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.extraction import MISSING, found, wrapped
from engine.text import Texts
from engine.verb import installed
from engine.virtual import Calls, Says, VirtualLine, VirtualProvider, virtual_time
from engine.voices import Voices
from flows.json_schema import JsonSchema
from flows.language import Language
from providers.completion import is_strict
from providers.voice import Capabilities, VoiceError
from tests.engine.verbs.phone import Over, counted, dial, flow, library, problems
from tests.engine.writer import Writer, texts

HEAD = """
vars:
  mail: {type: string, default: "Two large pizzas for Ada, please."}
  order: {type: object, default: {}}
  secret: {type: string, sensitive: true, default: "4000 1234"}
  pin: {type: string, sensitive: true}
"""
ORDER = """
- extract: {from: mail, into: order, schema: {dish: {type: string}, count: {type: integer}}, prompt: The order.}
  outcomes: {not_found: [{say: Nothing.}], provider_error: [{say: Broken.}]}
- say: "${string(size(vars.order))} things."
"""
ADA = {"dish": "pizza", "count": 2}


async def run(folder: Path, writer: Writer, steps: str = ORDER, head: str = HEAD, **options: Any) -> Over:
    return await dial(library(folder, flow(steps, head=head)), texts=texts(writer), **options)


@virtual_time
async def test_what_a_text_says_is_in_the_variable(tmp_path: Path) -> None:
    writer = Writer(found(ADA))
    over = await run(tmp_path, writer)
    assert over.call.walker.vars["order"] == ADA
    assert over.ways == [("extract", "done"), ("say", "done")]
    told, text = writer.asked[0]
    assert "What is asked for: The order." in told.text
    assert '"dish"' in told.text
    assert (text.role, text.text) == ("user", '"Two large pizzas for Ada, please."')
    assert writer.options[0]["schema"]["properties"]["value"]["anyOf"][0]["properties"]["count"] == {"type": "integer"}
    tokens = over.record.tokens[0]
    assert (tokens.provider, tokens.turns, tokens.input_text, tokens.output_text) == ("writer/text", 1, 10, 3)


@virtual_time
async def test_the_talk_is_read_with_who_said_what(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("what may it be")
        await line.caller.says("A pizza, please.")

    writer = Writer(found(ADA))
    steps = """
    - converse: {greeting: "Hello, what may it be?", exits: {ordered: {}}}
      catch: []
    - extract: {into: order, schema: {dish: {type: string}, count: {type: integer}}}
      catch: []
    """
    replies = [[Says("Good."), Calls("finish", {"exit": "ordered"})]]
    await run(tmp_path, writer, steps, script=script, provider=VirtualProvider(replies))
    assert json.loads(writer.asked[0][1].text) == [
        {"voice": "Hello, what may it be?"}, {"caller": "A pizza, please."}, {"voice": "Good."},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "asked", "way", "detail"),
    [
        ([MISSING], 1, "not_found", "the text model did not find it"),
        (["Sure! Here you are.", found(ADA)], 2, "done", ""),
        ([found({"dish": "pizza"}), found(ADA)], 2, "done", ""),
        ([found({"dish": "secret"}), found("nothing")], 2, "not_found", "did not fit the schema, 2 times"),
        (['{"found": 1}', '["found"]'], 2, "not_found", "did not fit the schema, 2 times"),
        (['{"found": true, "value": {"dish": "a", "count": NaN}}', found(ADA)], 2, "done", ""),
        (['{"found": true, "value": {"dish": "\\ud800", "count": 1e999}}', found(ADA)], 2, "done", ""),
        (["[" * 100_000, MISSING], 2, "not_found", "did not find it"),
        ([VoiceError("HTTP 401: the API key is wrong", code="http_401")], 1, "provider_error", "the API key is wrong"),
        ([(11.0, found(ADA))], 1, "provider_error", "took over 10 s"),
        ([(6.0, "no JSON"), (6.0, found(ADA))], 2, "provider_error", "took over 10 s"),
    ],
)
@virtual_time
async def test_how_it_ends(tmp_path: Path, answers: list[Any], asked: int, way: str, detail: str) -> None:
    writer = Writer(*answers)
    over = await run(tmp_path, writer)
    assert over.ways[0] == ("extract", way)
    assert detail in over.record.steps[0].detail
    assert "secret" not in "".join(step.model_dump_json() for step in over.record.steps)
    assert (len(writer.asked), writer.closed) == (asked, asked)
    assert over.call.walker.vars["order"] == (ADA if way == "done" else {})
    said = {"not_found": "Nothing.", "provider_error": "Broken."}.get(way)
    assert said in over.heard or said is None
    failures = counted(over, "provider_errors_total", provider="writer/text", kind="http_401")
    assert failures == (detail == "the API key is wrong")


@virtual_time
async def test_what_was_wrong_is_told_to_the_model_and_to_nobody_else(tmp_path: Path) -> None:
    writer = Writer(found({"dish": "pizza", "count": "two"}), found(ADA))
    over = await run(tmp_path, writer)
    said, wrong = writer.asked[1][2:]
    assert (said.role, said.text) == ("assistant", found({"dish": "pizza", "count": "two"}))
    assert 'value: count: "two" is not of type "integer"' in wrong.text
    assert '"two"' not in over.record.model_dump_json()


@virtual_time
async def test_nothing_to_read(tmp_path: Path) -> None:
    writer = Writer()
    steps = "- extract: {into: order, schema: {dish: {type: string}}}\n  outcomes: {not_found: [], provider_error: []}"
    over = await run(tmp_path, writer, steps)
    assert over.ways == [("extract", "not_found")]
    assert writer.asked == []


@virtual_time
async def test_nobody_writes(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow(ORDER, head=HEAD)), texts=Texts(Voices()))
    assert over.ways[0] == ("extract", "provider_error")
    assert "no text model is set" in over.record.steps[0].detail


@virtual_time
async def test_a_voice_that_cannot_be_made_writes_nothing_and_that_is_on_record(tmp_path: Path) -> None:
    """The flow's own voice would write, and its key is missing."""
    head = HEAD + "defaults: {converse: {provider: openai}}"
    over = await dial(library(tmp_path, flow(ORDER, head=head)), texts=Texts(Voices()))
    assert over.ways[0] == ("extract", "provider_error")
    assert "api_key" in over.record.steps[0].detail.lower()
    written = over.record.written[0]
    assert (written.outcome, written.step, written.answer) == ("failed", over.record.steps[0].path, "")
    assert written.ms is not None
    assert counted(over, "provider_errors_total", provider="openai/text", kind="setting") == 1


@virtual_time
async def test_a_handler_for_providers_that_are_down_answers(tmp_path: Path) -> None:
    steps = "- extract: {from: mail, into: order, schema: {dish: {type: string}}}"
    head = HEAD + "handlers: [{event: provider_down, steps: [{say: Down.}]}, {event: error, steps: [{say: Error.}]}]"
    over = await run(tmp_path, Writer(VoiceError("down")), steps, head)
    assert over.heard == ["Down."]


@virtual_time
async def test_the_step_may_have_less_time_or_more(tmp_path: Path) -> None:
    steps = ORDER.replace("  outcomes", "  timeout: 3s\n  outcomes")
    over = await run(tmp_path / "less", Writer((4.0, found(ADA))), steps)
    assert over.ways[0] == ("extract", "provider_error")
    assert over.record.steps[0].ms == 3000
    steps = ORDER.replace("  outcomes", "  timeout: 30s\n  outcomes")
    over = await run(tmp_path / "more", Writer((20.0, found(ADA))), steps)
    assert over.ways[0] == ("extract", "done")


@virtual_time
async def test_a_caller_who_waits_longer_hears_music_and_then_silence(tmp_path: Path) -> None:
    steps = "- answer: {}\n" + ORDER
    over = await run(tmp_path / "long", Writer((5.0, found(ADA))), steps)
    sounds = [(round(entry.at, 1), entry.what, entry.ms) for entry in over.line.log.find("heard", "cut")]
    assert sounds[0][1:] == ("cut", pytest.approx(3300, abs=120))
    assert sounds[0][0] == pytest.approx(5.0, abs=0.2)
    over = await run(tmp_path / "short", Writer((1.6, found(ADA))), steps)
    assert over.line.log.find("cut") == []


@virtual_time
async def test_a_call_that_nobody_answered_is_not_answered_for_music(tmp_path: Path) -> None:
    steps = ORDER.split("- say")[0].replace("{say: Nothing.}", "").replace("{say: Broken.}", "") + "- reject: {}"
    over = await run(tmp_path, Writer((5.0, found(ADA))), steps)
    assert over.record.answered is None
    assert over.ways == [("extract", "done"), ("reject", "done")]


@virtual_time
async def test_a_caller_who_hangs_up_stops_the_model(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(3)
        await line.caller.hangs_up()

    writer = Writer((8.0, found(ADA)))
    over = await run(tmp_path, writer, "- answer: {}\n" + ORDER, script=script)
    assert over.record.outcome == "caller_hung_up"
    assert writer.closed == 1


@virtual_time
async def test_it_may_run_when_the_caller_has_gone(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("speak")
        await line.caller.says("Please call me back.")
        await line.caller.waits(1)
        await line.caller.hangs_up()

    head = (
        HEAD
        + """handlers:
  - event: hangup
    steps:
      - extract: {into: order, schema: {dish: {type: string}, count: {type: integer}}}
        catch: []
"""
    )
    writer = Writer((5.0, found(ADA)))
    steps = "- converse: {greeting: Please speak., exits: {a: {}}}\n  catch: []"
    over = await run(tmp_path, writer, steps, head, script=script, provider=VirtualProvider([[Says("I see.")]]))
    assert over.ways[-1] == ("extract", "done")
    assert over.call.walker.vars["order"] == ADA


@virtual_time
async def test_a_secret_is_in_no_record_and_no_log(tmp_path: Path) -> None:
    steps = """
    - extract: {from: secret, into: pin, schema: {type: string, pattern: "^[0-9]{4}$"}}
      outcomes: {not_found: [], provider_error: []}
    """
    with capture_logs() as logs:
        over = await run(tmp_path / "found", Writer(found("7777")), steps)
        assert over.call.walker.vars["pin"] == "7777"
        refused = await run(tmp_path / "refused", Writer(found("7777x"), found("7777y")), steps)
    assert refused.ways == [("extract", "not_found")]
    for told in (over.record.model_dump_json(), refused.record.model_dump_json(), repr(logs)):
        assert "7777" not in told
        assert "4000" not in told


@virtual_time
async def test_the_flow_decides_who_writes(tmp_path: Path) -> None:
    writer = Writer(found(ADA))
    house = texts(writer, "house")  # the engine itself has none
    over = await dial(library(tmp_path, flow(ORDER, head=HEAD + "defaults: {text_model: house}")), texts=house)
    assert over.ways[0] == ("extract", "done")


@virtual_time
async def test_the_model_of_the_settings_is_for_the_provider_of_the_settings(tmp_path: Path) -> None:
    writer = Writer(found(ADA), found(ADA))
    own = texts(writer, model="gpt-x")
    provider = own._voices.get("writer")
    own._voices.add("house", provider)
    await dial(library(tmp_path / "a", flow(ORDER, head=HEAD)), texts=own)
    await dial(library(tmp_path / "b", flow(ORDER, head=HEAD + "defaults: {text_model: house}")), texts=own)
    assert [options["model"] for options in writer.options] == ["gpt-x", None]


@virtual_time
async def test_a_schema_in_a_file_and_one_that_points_into_itself(tmp_path: Path) -> None:
    schema = {
        "type": "object", "properties": {"parts": {"type": "array", "items": {"$ref": "#/$defs/part"}}},
        "$defs": {"part": {"type": "object", "properties": {"inner": {"$ref": "#"}}}},
    }  # fmt: skip
    steps = "- extract: {from: mail, into: order, schema_file: order.json}\n  catch: []"
    writer = Writer(found({"parts": [{"inner": {"parts": 1}}]}), found({"parts": [{"inner": {"parts": []}}]}))
    house = library(tmp_path, flow(steps, head=HEAD), files={"order.json": json.dumps(schema)})
    over = await dial(house, texts=texts(writer))
    assert over.ways == [("extract", "done")]
    whole = JsonSchema(writer.options[0]["schema"])
    assert whole.errors({"found": True, "value": {"parts": [{"inner": {"parts": []}}]}}) == []
    assert whole.errors({"found": True, "value": {"parts": [{"inner": {"parts": 1}}]}}) != []
    assert whole.errors({"found": False, "value": None}) == []


def test_the_short_form_of_a_schema_is_one_that_openai_guarantees() -> None:
    short = JsonSchema.from_flow({"dish": {"type": "string"}, "count": {"type": "integer"}})
    assert is_strict(wrapped(short.schema))


@virtual_time
async def test_beside_a_talk_the_line_belongs_to_the_voice(tmp_path: Path) -> None:
    """A tool runs a flow that extracts: the talk plays its music, once, and the flow none of its own."""

    async def script(line: VirtualLine) -> None:
        await line.caller.hears("Hello.")
        await line.caller.says("A pizza.", 0.5)
        await line.caller.hears("Noted.")

    steps = """
    - converse:
        greeting: Hello.
        exits: {a: {}}
        tools: {note: {description: Note it., flow: {flow: note}, timeout: 20s}}
      catch: []
    """
    note = flow(
        "- extract: {into: order, schema: {dish: {type: string}, count: {type: integer}}}\n  catch: []\n"
        "- return: {count: '${vars.order.count}'}",
        head=HEAD, name="note",
    )  # fmt: skip
    replies = [[Calls("note")], [Says("Noted."), Calls("finish", {"exit": "a"})]]
    house = library(tmp_path, flow(steps), note)
    over = await dial(
        house, script, provider=VirtualProvider(replies), texts=texts(Writer((5.0, found(ADA)))),
    )  # fmt: skip
    assert ("extract", "done") in over.ways
    assert over.heard == ["Hello.", "Noted."]
    [music] = [entry for entry in over.line.log.find("heard", "cut") if not entry.text and entry.ms]
    assert music.ms == pytest.approx(3500, abs=400)


# ── What the check says ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("from: mial, into: order, schema: {a: {type: string}}", "unknown variable 'mial' (did you mean 'mail'?)"),
        ("from: transcrpt, into: order, schema: {a: {type: string}}", "did you mean 'transcript'?"),
        ("into: oder, schema: {a: {type: string}}", "unknown variable 'oder' (did you mean 'order'?)"),
        ("into: order, schema: {type: string}", "vars.order is declared as object, but the schema describes string"),
        ("into: order", "extract needs exactly one of 'schema' and 'schema_file'"),
        ("from: secret, into: mail, schema: {type: string}", "vars.secret is sensitive, so vars.mail must be, too"),
        ("into: order, schema: {a: {type: string}}, promt: x", "unknown key 'promt' (did you mean 'prompt'?)"),
    ],
)
def test_what_cannot_be_right(tmp_path: Path, fields: str, said: str) -> None:
    [problem] = problems(tmp_path, f"- extract: {{{fields}}}\n  catch: []", head=HEAD)
    assert said in problem


def test_its_failures_must_be_handled(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "- extract: {into: order, schema: {a: {type: string}}}", head=HEAD)
    assert "extract may end with not_found, provider_error" in problem


VOICES = {"openai": Capabilities(tools=True, writes=True), "rehearsal": Capabilities(tools=True),
          "chat": Capabilities(formats=(), writes=True)}  # fmt: skip
TOLD = "name a provider that has one (chat, openai) in the flow, such as 'defaults: {text_model: NAME}'"
TALK = "- converse: {provider: rehearsal, exits: {b: {}}}\n  catch: []\n"
TALK_OPENAI = "- converse: {provider: [rehearsal, openai], exits: {b: {}}}\n  catch: []\n"
NEEDY = {
    "- extract: {into: order, schema: {a: {type: string}}}\n  catch: []": ("extract", "extract"),
    "- transfer: {brief: {auto: true}, attempts: [{targets: ['pjsip:a']}]}\n  catch: []": (
        "true", "brief: {auto: true}"
    ),
    "- converse: {context: summary, exits: {a: {}}}\n  catch: []": ("summary", "context: summary"),
    "- converse: {exits: {}, tools: {p: {description: x, transfer: {brief: {auto: true}, attempts: [{targets: "
    "['pjsip:a']}], unreached: No.}}}}\n  catch: []": ("true", "brief: {auto: true}"),
}  # fmt: skip


def checked(folder: Path, steps: str, head: str = "", text_model: str | None = None) -> list[str]:
    (folder / "a.flow.yaml").write_text(flow(steps, head=HEAD + head))
    problems = Language(installed(), VOICES, text_model).load([folder]).problems
    return [str(problem).split("a.flow.yaml:")[-1] for problem in problems]


@pytest.mark.parametrize(("steps", "said"), NEEDY.items())
def test_who_needs_a_text_model_is_told_where_nobody_writes(tmp_path: Path, steps: str, said: tuple[str, str]) -> None:
    word, what = said
    [problem] = checked(tmp_path, steps, text_model="")
    assert problem.partition(":")[2].startswith(f"{steps.index(word) + 3}: ")
    assert f"error[E311]: {what} needs a text model: {TOLD}, or in the engine's setting 'text'" in problem
    assert checked(tmp_path, steps, text_model="openai") == []
    assert checked(tmp_path, steps) == []  # no settings are known, and no voice: the engine's may write
    assert checked(tmp_path, steps, "defaults: {text_model: chat}", text_model="") == []


@pytest.mark.parametrize(("steps", "said"), NEEDY.items())
def test_the_voice_that_a_flow_talks_with_writes_for_it_or_the_flow_names_who_does(
    tmp_path: Path, steps: str, said: tuple[str, str]
) -> None:
    for text_model in (None, ""):
        [problem] = checked(tmp_path, TALK + steps, text_model=text_model)
        assert f"error[E311]: {said[1]} needs a text model, and the voice 'rehearsal' has none: {TOLD}" in problem
        assert ("hookflash check --config FILE" in problem) == (text_model is None)
        assert checked(tmp_path, TALK_OPENAI + steps, text_model=text_model) == []
        assert checked(tmp_path, TALK + steps, "defaults: {text_model: chat}", text_model=text_model) == []
        [problem] = checked(tmp_path, steps, "defaults: {converse: {provider: rehearsal}}", text_model=text_model)
        assert "and the voice 'rehearsal' has none" in problem
    assert checked(tmp_path, TALK + steps, text_model="chat") == []  # the engine's


@virtual_time
async def test_a_voice_of_the_flow_writes_when_nobody_else_does(tmp_path: Path) -> None:
    """Its text model is asked, and what it used is put down to it."""
    voices, writer = Voices(), Writer(found(ADA))
    voices.add("silent", VirtualProvider())
    voices.add("able", VirtualProvider(writer=writer))
    steps = (
        "- extract: {from: mail, into: order, schema: {dish: {type: string}, count: {type: integer}}}\n"
        "  catch: []\n- hangup: {}\n"
        "- converse: {provider: [silent, able]}\n  catch: []"
    )
    over = await dial(library(tmp_path, flow(steps, head=HEAD)), texts=Texts(voices))
    assert ("extract", "done") in over.ways
    assert len(writer.asked) == 1
    other = Texts(voices, "elsewhere")
    assert other.of(["able"]) is None  # the engine has one


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("opnai", "2:24: error[E302]: unknown provider 'opnai' (did you mean 'openai'?)"),
        ("rehearsal", "2:24: error[E311]: the provider 'rehearsal' has no text model (has: chat, openai)"),
        ("3", "error[E203]: 'text_model' is the name of a provider"),
        ("openai", ""),
    ],
)
def test_the_name_that_the_flow_gives(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "a.flow.yaml").write_text(flow("- hangup: {}", head=f"defaults: {{text_model: {name}}}"))
    told = [str(problem) for problem in Language(installed(), VOICES).load([tmp_path]).problems]
    assert (said in told[0]) if said else told == []


def test_a_misspelt_default_is_told(tmp_path: Path) -> None:
    [problem] = checked(tmp_path, "- hangup: {}", "defaults: {text_modl: chat}")
    assert "unknown verb 'text_modl' in defaults (did you mean 'text_model'?)" in problem


def test_a_provider_without_a_voice_holds_no_conversation(tmp_path: Path) -> None:
    [problem] = checked(tmp_path, "- converse: {provider: chat, exits: {a: {}}}\n  catch: []")
    assert "error[E203]: the provider 'chat' has no voice; it reads and writes" in problem


def test_services_without_settings_have_no_text_model() -> None:
    assert Texts(Voices()).provider is None
