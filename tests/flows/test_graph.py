from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.verbs import installed
from flows.drawing import MAX_NODES, TooLargeError, as_svg
from flows.graph import Edge, Graph, Node, as_mermaid, graph_of, mermaid_id
from flows.language import Language

EXAMPLES = Path(__file__).parents[2] / "flows/examples"
SVG = "{http://www.w3.org/2000/svg}"
Drawn = Callable[[str], Graph]


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """The graph of a flow that is given by everything below its name."""

    def drawn(text: str) -> Graph:
        file = tmp_path / "f.flow.yaml"
        file.write_text(f"flow: f\n{text}")
        loaded = Language(installed()).load([tmp_path])
        assert loaded.library is not None, loaded.problems
        return graph_of(loaded.library.flows["f"])

    return drawn


def ways(graph: Graph) -> set[tuple[str, str, str]]:
    return {(edge.source, edge.target, ",".join(edge.labels)) for edge in graph.edges}


def examples() -> list[Graph]:
    loaded = Language(installed()).load([EXAMPLES])
    assert loaded.library is not None
    return [graph_of(flow) for flow in loaded.library.flows.values()]


def test_steps_follow_one_another_and_outcomes_come_back(drawn: Drawn) -> None:
    graph = drawn("""
steps:
  - menu: {say: Choose.}
    outcomes: {"1": [{say: One.}], no_input: [], no_match: []}
  - id: bye
    say: Bye.
""")
    assert ways(graph) == {
        ("start", "steps/0", ""),
        ("steps/0", "steps/0/outcomes/1/0", "1"),
        ("steps/0/outcomes/1/0", "steps/1", ""),
        ("steps/0", "steps/1", "no_input,no_match"),
        ("steps/1", "over", ""),
    }
    nodes = {node.id: node for node in graph.nodes}
    assert nodes["steps/0"] == Node("steps/0", "wait", "menu", "Choose.", 4)
    assert (nodes["steps/1"].title, nodes["steps/1"].kind) == ("bye: say", "step")


def test_jumps_calls_and_handlers_lead_to_sections(drawn: Drawn) -> None:
    graph = drawn("""
handlers: [{event: error, goto: out}, {event: dtmf, digits: "5", steps: [{goto: out}]}]
steps: [{call: {section: sub}}, {goto: out}]
sections: {sub: [{say: Hi}], out: [{say: Bye}]}
""")
    assert ways(graph) == {
        ("start", "steps/0", ""),
        ("steps/0", "sections/sub", ""),
        ("steps/0", "steps/1", ""),
        ("steps/1", "sections/out", ""),
        ("sections/sub", "sections/sub/0", ""),  # and no further: what is called comes back
        ("sections/out", "sections/out/0", ""),
        ("sections/out/0", "over", ""),
        ("handlers/0", "sections/out", ""),
        ("handlers/1", "handlers/1/steps/0", ""),
        ("handlers/1/steps/0", "sections/out", ""),
    }
    assert [edge.target for edge in graph.edges if edge.is_call] == ["sections/sub"]
    assert [node.title for node in graph.nodes if node.kind == "handler"] == ["error", "dtmf 5"]


def test_loops_branches_conditions_and_catch(drawn: Drawn) -> None:
    graph = drawn(
        """
vars: {round: {type: integer, default: 0}}
steps:
  - repeat: {max: 3, steps: [{say: Again}]}
  - switch: {value: "${vars.round}", cases: {"1": [{say: One}], two: [{say: Two}]}, default: [{say: More}]}
  - switch: [{when: vars.round > 1, steps: [{say: Many}]}, {steps: [{say: Few}]}]
  - hangup: {}
    when: vars.round > 3
  - {say: Not now, disabled: true}
  - call: {section: x}
    catch: [{hangup: {}}]
sections: {x: [{say: X}]}
"""
    )
    assert {
        ("steps/0", "steps/0/repeat/steps/0", ""),
        ("steps/0/repeat/steps/0", "steps/0", ""),
        ("steps/0", "steps/1", ""),
        ("steps/1", "steps/1/switch/cases/1/0", "1"),
        ("steps/1", "steps/1/switch/cases/two/0", "two"),
        ("steps/1", "steps/1/switch/default/0", "default"),
        ("steps/1/switch/cases/two/0", "steps/2", ""),
        ("steps/2", "steps/2/switch/0/steps/0", "1."),
        ("steps/2", "steps/2/switch/1/steps/0", "2."),
        ("steps/3", "steps/4", "otherwise"),
        ("steps/4", "steps/5", ""),
        ("steps/5", "steps/5/catch/0", "catch"),
    } <= ways(graph)
    assert next(node.kind for node in graph.nodes if node.id == "steps/4") == "disabled"


@pytest.mark.parametrize(
    ("step", "labels"),
    [
        ("call: {section: x}\n    catch: []", "done,catch"),
        ("say: Hi\n    outcomes: {interrupted: []}\n    catch: []", "done,interrupted,catch"),
        ('transfer: {attempts: [{targets: ["pjsip:a"]}]}\n    catch: []', "connected,catch"),
        ("check_hours: office\n    outcomes: {closed: []}", "open,closed"),
        ("check_hours: office\n    outcomes: {open: [], closed: []}", "open,closed"),
        ('menu: {say: Hi}\n    outcomes: {"1": []}\n    catch: []', "1,catch"),
        ('set: {}\n    when: "true"\n    catch: []', "done,catch"),
        ("call: {section: x}", ""),
    ],
)
def test_the_ordinary_way_is_named_where_other_ways_lead_to_the_same_step(
    drawn: Drawn, tmp_path: Path, step: str, labels: str
) -> None:
    (tmp_path / "resources.yaml").write_text('calendars: {office: {timezone: UTC, open: {mon: ["09:00-10:00"]}}}\n')
    graph = drawn(f"steps:\n  - {step}\n  - hangup: {{}}\nsections: {{x: [{{say: X}}]}}\n")
    assert ("steps/0", "steps/1", labels) in ways(graph)


@pytest.mark.parametrize("graph", examples(), ids=lambda graph: graph.name)
def test_every_step_is_a_node_and_every_edge_joins_two(graph: Graph) -> None:
    ids = [node.id for node in graph.nodes]
    assert len(ids) == len(set(ids))
    assert {end for edge in graph.edges for end in (edge.source, edge.target)} <= set(ids)
    loaded = Language(installed()).load([EXAMPLES])
    assert loaded.library is not None
    assert {step.path for step in loaded.library.flows[graph.name].walk()} <= set(ids)


# ── Mermaid ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_mermaid_has_nodes_edges_and_nothing_of_the_author_that_commands_it(drawn: Drawn) -> None:
    text = as_mermaid(
        drawn("""
steps:
  - say: 'He said "no" <b>; %% --> end #1'
  - menu: {say: "a\\u0007b"}
    outcomes: {"#": [{hangup: {}}], no_input: [], no_match: []}
""")
    )
    rows = text.splitlines()
    assert rows[0] == "flowchart TD"
    assert '  steps__0["say<br/>He said #34;no#34; #60;b#62;#59; #37;#37; --#62; end #35;1"]' in rows
    assert '  steps__1("menu<br/>a b"):::wait' in rows
    assert '  steps__1 -->|"#35;"| steps__1__outcomes___35___0' in rows
    assert "\x07" not in text


def test_no_two_nodes_share_a_mermaid_id() -> None:
    ids = ["a/b", "a_b", "a__b", "a_95_b", "a/_b", "a_/b", "a//b", "a#b", "a_35_b"]
    assert len({mermaid_id(id_) for id_ in ids}) == len(ids)


# ── SVG ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("graph", examples(), ids=lambda graph: graph.name)
def test_no_two_nodes_overlap_and_each_can_be_found_by_its_path(graph: Graph) -> None:
    root = ET.fromstring(as_svg(graph))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    boxes = {}
    for group in root.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        boxes[group.attrib["data-step"]] = tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
    assert set(boxes) == {node.id for node in graph.nodes}
    for first, (x, y, w, h) in boxes.items():
        assert y >= 0
        assert y + h <= height
        for second, (x2, y2, _, _) in boxes.items():
            assert first == second or abs(x - x2) >= w or abs(y - y2) >= h, f"{first} is on {second}"
    assert max(x for x, *_ in boxes.values()) - min(x for x, *_ in boxes.values()) < width
    assert len(list(root.iter(f"{SVG}path"))) == len(graph.edges) + 1  # and the arrow's tip


@pytest.mark.parametrize("graph", examples(), ids=lambda graph: graph.name)
def test_what_follows_is_drawn_below(graph: Graph) -> None:
    root = ET.fromstring(as_svg(graph))
    top = {
        group.attrib["data-step"]: float(rect.attrib["y"])
        for group in root.iter(f"{SVG}g")
        if (rect := group.find(f"{SVG}rect")) is not None
    }
    upwards = [edge for edge in graph.edges if top[edge.source] >= top[edge.target]]
    assert all("repeat" in next(n.title for n in graph.nodes if n.id == edge.target) for edge in upwards)


def test_any_text_is_safe_in_it() -> None:
    odd = "<script>alert('&\"x')</script>"
    graph = Graph(odd, (Node("a", "start", odd, odd), Node('b"<', "step", odd)), (Edge("a", 'b"<', (odd,)),))
    root = ET.fromstring(as_svg(graph))
    assert not list(root.iter(f"{SVG}script"))
    assert [group.attrib["data-step"] for group in root.iter(f"{SVG}g")] == ["a", 'b"<']


def chain(length: int) -> Graph:
    nodes = tuple(Node(str(number), "step", "say") for number in range(length))
    edges = [Edge(str(number), str(number + 1)) for number in range(length - 1)]
    edges += [Edge(str(number), str((number * 7919) % length), ("x",)) for number in range(0, length, 5)]
    return Graph("long", nodes, tuple(edge for edge in dict.fromkeys(edges) if edge.source != edge.target))


def test_a_large_flow_takes_seconds_and_a_larger_one_is_refused() -> None:
    started = time.perf_counter()
    ET.fromstring(as_svg(chain(300)))
    assert time.perf_counter() - started < 10
    with pytest.raises(TooLargeError, match="mermaid"):
        as_svg(chain(MAX_NODES + 1))
