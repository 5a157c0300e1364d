"""The JSON control of chan_websocket. The messages are as Asterisk 22.10.1 sent them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk.media import control

START = (
    '{"event":"MEDIA_START","connection_id":"bc4dcd31-5d6a-4a01-81b4-ca7ea00f986d","channel":"WebSocket/INCOMING/0x7f",'
    '"channel_id":"6530a287","format":"ulaw","optimal_frame_size":160,"ptime":20,"channel_variables":{"secret":"x"}}'
)
STATUS = (
    '{"event":"STATUS","channel_id":"6530a287","queue_length":35,"xon_level":800,"xoff_level":900,"queue_full":false,'
    '"bulk_media":false,"media_paused":false}'
)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (START, control.Started("6530a287", "ulaw")),
        (STATUS, control.Status(35)),
        ('{"event":"MEDIA_MARK_PROCESSED","channel_id":"c","correlation_id":"12"}', control.MarkProcessed(12)),
        ('{"event":"MEDIA_XOFF","channel_id":"c"}', control.Xoff()),
        ('{"event":"MEDIA_XON","channel_id":"c"}', control.Xon()),
        ('{"event":"DTMF_END","channel_id":"c","digit":"#"}', control.Digit("#")),
        ('{"event":"ERROR","channel_id":"c","error_text":"no"}', control.Refused("no")),
        ('{"event":"QUEUE_DRAINED","channel_id":"c"}', control.Other("QUEUE_DRAINED")),
        ('{"event":"MEDIA_MARK_PROCESSED","correlation_id":"alien"}', control.Other("MEDIA_MARK_PROCESSED")),
        ('{"event":"OF_A_NEWER_ASTERISK","x":1}', control.Other("OF_A_NEWER_ASTERISK")),
    ],
)
def test_events(text: str, event: control.ControlEvent) -> None:
    assert control.parse(text) == event


@pytest.mark.parametrize("text", ["MEDIA_START connection_id:x format:ulaw", "[]", "{}", "", '"event"'])
def test_what_is_not_json_control_says_how_to_get_it(text: str) -> None:
    with pytest.raises(control.MediaError, match=r"transport_data=f\(json\)"):
        control.parse(text)


def test_commands_are_compact() -> None:
    assert control.command("FLUSH_MEDIA") == '{"command":"FLUSH_MEDIA"}'
    assert control.command("MARK_MEDIA", "7") == '{"command":"MARK_MEDIA","correlation_id":"7"}'


@given(st.text(max_size=200))
def test_a_command_that_asterisk_would_drop_is_refused_here(name: str) -> None:
    try:
        text = control.command("MARK_MEDIA", name)
    except control.MediaError as error:
        assert "128" in str(error)  # noqa: PT017
        assert len(name.encode()) > 20
    else:
        assert len(text.encode()) <= 128
