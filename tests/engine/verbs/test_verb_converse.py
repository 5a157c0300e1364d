"""What the check says of `converse`; how it talks is in test_conversation.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.verb import installed
from engine.virtual import virtual_time
from flows.language import Language
from tests.engine.verbs.phone import dial, flow, library, problems
from tests.engine.verbs.talking import quiet

HEAD = "vars: {order: {type: object}, name: {type: string}}"
TOOL = 'http: {endpoint: pos, path: "/x"}'


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("prompt: a, prompt_file: b.md", "file 'b.md': not found"),
        ("collect: {into: ordr, schema: {type: object}}", "unknown variable 'ordr' (did you mean 'order'?)"),
        ("collect: {into: order}", "collect needs exactly one of 'schema' and 'schema_file'"),
        ("collect: {into: order, schema: {type: objct}}", "not a valid JSON Schema"),
        ("exits: {a: {requires: [nam]}}", "unknown variable 'nam' (did you mean 'name'?)"),
        ("exits: {silence: {}}", "an exit cannot be called 'silence': the step itself ends that way"),
        ("exits: {done: {}}", "an exit cannot be called 'done'"),
        ("exits: {error: {}}", "an exit cannot be called 'error'"),
        ("exits: {a: {descripton: x}}", "unknown key 'descripton' (did you mean 'description'?)"),
        (f"tools: {{finish: {{description: x, {TOOL}}}}}", "a tool cannot be called 'finish'"),
        (f'tools: {{"look up": {{description: x, {TOOL}}}}}', "a tool's name has letters, digits"),
        ("tools: {t: {description: x}}", "exactly one of http, flow, set"),
        (f"tools: {{t: {{{TOOL}}}}}", "needs 'description'"),
        ('tools: {t: {description: x, http: {endpoint: pso, path: "/"}}}', "unknown endpoint 'pso'"),
        ('tools: {t: {description: x, input: {dish: {type: string}}, http: {endpoint: pos, path: "/${input.dsh}"}}}',
         "unknown variable 'input.dsh' (did you mean 'input.dish'?)"),
        (f"tools: {{t: {{description: x, input: {{dish: {{type: string}}}}, when: input.dish == 'a', {TOOL}}}}}",
         "unknown variable 'input.dish'"),
        (f"tools: {{t: {{description: x, max_calls: 0, {TOOL}}}}}", "greater than or equal to 1"),
        ("silence: {after: 5}", "5 is not a duration; give it a unit"),
        ("silence: {reprompts: 10}", "less than or equal to 9"),
        ("max_turns: 0", "greater than or equal to 1"),
        ("context: sumary", "'sumary' is not one of 'continue', 'summary' or 'reset'"),
        ('greeting: "Hi ${vars.nme}."', "unknown variable 'vars.nme' (did you mean 'vars.name'?)"),
        ('prompt: "Hi ${vars.name + 1}."', "no matching overload"),
        ("interruptible: maybe", "'interruptible' must be true or false"),
    ],
)  # fmt: skip
def test_what_the_check_says(tmp_path: Path, fields: str, said: str) -> None:
    step = f"- converse: {{{fields}}}\n  catch: []"
    found = [line for line in problems(tmp_path, step, head=HEAD) if "error[" in line]
    assert len(found) == 1, found
    assert said in found[0]


def test_two_prompts_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("Help.")
    found = problems(tmp_path, "- converse: {prompt: a, prompt_file: b.md}\n  catch: []")
    assert found == ["3:27: error[E203]: converse takes 'prompt' or 'prompt_file', not both"]


def test_an_exit_that_is_misspelt_where_it_is_handled(tmp_path: Path) -> None:
    step = "- converse: {exits: {ordered: {}, person: {}}}\n  outcomes: {persn: []}\n  catch: []"
    assert problems(tmp_path, step) == [
        "4:16: error[E303]: converse has no exit 'persn' (has: max_duration, ordered, person, provider_error, silence)"
    ]


def test_its_limits_want_an_answer(tmp_path: Path) -> None:
    found = problems(tmp_path, "- converse: {exits: {a: {}}}")
    assert len(found) == 1
    assert "converse may end with silence, max_duration, provider_error" in found[0]


@dataclass(frozen=True)
class Known:
    """Satisfies `flows.scope.VoiceFacts`."""

    tools: bool = True
    understands: bool = True
    formats: tuple[str, ...] = ("ulaw",)
    writes: bool = False


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("parrot", "the voice 'parrot' calls no tools, so it can take no exit and use none"),
        ("opnai", "unknown voice 'opnai' (did you mean 'openai'?)"),
        ("openai", ""),
    ],
)
def test_what_a_voice_cannot_do_is_found_where_voices_are_known(tmp_path: Path, provider: str, said: str) -> None:
    (tmp_path / "a.flow.yaml").write_text(
        flow(f"- converse: {{provider: {provider}, exits: {{a: {{}}}}}}\n  catch: []")
    )
    loaded = Language(installed(), {"openai": Known(), "parrot": Known(tools=False)}).load([tmp_path])
    assert [problem.message for problem in loaded.problems] == ([said] if said else [])


@virtual_time
async def test_prompt_and_schema_may_be_files(tmp_path: Path) -> None:
    files = {
        "prompts/order.md": "Take the order of ${caller.name}.\n",
        "order.json": '{"type": "object", "required": ["dish"], "properties": {"dish": {"type": "string"}}}',
    }
    step = """
    - converse:
        prompt_file: prompts/order.md
        collect: {into: order, schema_file: order.json}
        exits: {a: {}}
        max_duration: 1s
      catch: []
    """
    over = await dial(library(tmp_path, flow(step, head=HEAD), files=files), quiet)
    assert over.voice.instructions == "Take the order of Ada.\n"
    assert over.voice.tools[0].parameters["properties"]["data"]["required"] == ["dish"]


@virtual_time
async def test_a_provider_by_name_and_one_that_is_not_there(tmp_path: Path) -> None:
    step = "- converse: {provider: NAME, exits: {a: {}}, max_duration: 1s}\n  catch: []"
    over = await dial(library(tmp_path / "a", flow(step.replace("NAME", "virtual"))), default_voice="other")
    assert over.ways == [("converse", "max_duration")]
    over = await dial(library(tmp_path / "b", flow(step.replace("NAME", "virtul"))), quiet)
    assert over.ways == [("converse", "provider_error")]
    assert over.record.steps[0].detail.startswith("virtul: unknown voice 'virtul'")


@virtual_time
async def test_defaults_of_the_flow_reach_the_step(tmp_path: Path) -> None:
    head = "defaults: {converse: {voice: marin, language: de, max_duration: 1s}}"
    over = await dial(library(tmp_path, flow("- converse: {exits: {a: {}}, language: en}\n  catch: []", head=head)))
    assert (over.voice.session.voice, over.voice.session.language) == ("marin", "en")
