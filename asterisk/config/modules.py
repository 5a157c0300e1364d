"""The modules that calls need, by what they are for. Nothing else is loaded: see the note in modules.conf."""

from __future__ import annotations

from asterisk.version import Since, Version

STASIS_BROADCAST = Since({20: Version(20, 20), 22: Version(22, 10), 23: Version(23, 4)})

MEDIA = (
    "chan_websocket res_websocket_client chan_rtp res_rtp_multicast chan_audiosocket res_audiosocket chan_bridge_media"
)
STASIS = (
    "res_stasis res_stasis_answer res_stasis_device_state res_stasis_playback res_stasis_recording res_stasis_snoop "
    "app_stasis res_http_websocket res_ari res_ari_applications res_ari_asterisk res_ari_bridges res_ari_channels "
    "res_ari_device_states res_ari_endpoints res_ari_events res_ari_model res_ari_playbacks res_ari_recordings "
    "res_ari_sounds"
)
SIP = (
    "res_pjproject res_pjsip res_pjsip_acl res_pjsip_authenticator_digest res_pjsip_caller_id res_pjsip_diversion "
    "res_pjsip_dlg_options res_pjsip_dtmf_info res_pjsip_endpoint_identifier_ip res_pjsip_endpoint_identifier_user "
    "res_pjsip_header_funcs res_pjsip_logger res_pjsip_nat res_pjsip_outbound_authenticator_digest "
    "res_pjsip_outbound_registration res_pjsip_path res_pjsip_pubsub res_pjsip_refer res_pjsip_registrar "
    "res_pjsip_rfc3326 res_pjsip_sdp_rtp res_pjsip_session chan_pjsip func_pjsip_aor func_pjsip_contact "
    "func_pjsip_endpoint"
)
RTP = "res_rtp_asterisk res_srtp res_crypto"
# Not bridge_native_rtp: it passes packets on as they come, so that in a call that was given back to the dialplan the
# sequence numbers jump from those of our audio to those of the other party. Where they jump backwards the caller's side
# takes every packet for an old one and hears nothing (measured: half of such calls with an Asterisk as the peer).
BRIDGES = "bridge_simple bridge_softmix bridge_holding bridge_builtin_features bridge_builtin_interval_features"
CODECS = (
    "codec_ulaw codec_alaw codec_a_mu codec_g722 codec_gsm codec_resample format_pcm format_sln format_wav "
    "format_gsm res_format_attr_opus"
)
APPLICATIONS = (
    "app_amd app_dial app_echo app_exec app_if app_milliwatt app_mixmonitor app_originate app_playback app_playtones "
    "app_read app_record app_senddtmf app_stack app_transfer app_verbose app_while"
)
FUNCTIONS = (
    "func_base64 func_callerid func_channel func_cut func_devstate func_dialplan func_global func_groupcount "
    "func_hangupcause func_jitterbuffer func_logic func_math func_module func_rand func_sprintf func_strings "
    "func_talkdetect func_timeout func_uri func_uuid func_version func_volume"
)
FOUNDATION = (
    "res_sorcery_config res_sorcery_memory res_sorcery_astdb res_timing_timerfd res_timing_pthread pbx_config "
    "res_musiconhold res_convert res_security_log res_clioriginate res_mutestream res_tonedetect"
)

# fmt: off
REQUIRED = (
    "app_stasis", "chan_pjsip", "chan_websocket", "pbx_config", "res_ari_applications", "res_ari_asterisk",
    "res_ari_bridges", "res_ari_channels", "res_ari_events", "res_ari_playbacks", "res_http_websocket",
    "res_rtp_asterisk", "res_srtp", "res_stasis_answer", "res_stasis_playback", "res_stasis_recording",
    "res_stasis_snoop", "bridge_simple", "bridge_softmix", "codec_ulaw", "codec_alaw",
    "codec_resample", "func_callerid", "func_channel", "func_hangupcause", "res_pjsip_header_funcs",
)
# fmt: on
"""Without one of these a call cannot be served as the documentation promises; the doctor asks for each."""


RECOMMENDED = {
    "codec_g722": "wideband phones fall back to narrow band",
    "app_amd": "detect_machine cannot ask Asterisk (engine: asterisk) and ends with unknown",
    "res_timing_timerfd": "another source of timing is used, which costs more and may stutter",
    "app_mixmonitor": "calls cannot be recorded in the dialplan",
    "res_musiconhold": "callers who wait hear nothing",
    "func_talkdetect": "speech cannot be detected where there is no AI",
}
"""What is lost without each."""

RISKY = frozenset(
    {
        "app_externalivr",
        "app_system",
        "chan_iax2",
        "chan_mgcp",
        "chan_motif",
        "chan_skinny",
        "chan_unistim",
        "func_shell",
        "pbx_dundi",
        "res_http_post",
        "res_phoneprov",
        "res_pjsip_endpoint_identifier_anonymous",
        "res_xmpp",
    }
)
"""Modules behind most of Asterisk's security advisories, and those that run programs."""


def modules_for(version: Version) -> list[str]:
    """The names, without `.so`, in the order of their groups (Asterisk itself sorts by dependency)."""
    groups = (FOUNDATION, CODECS, RTP, SIP, BRIDGES, STASIS, MEDIA, APPLICATIONS, FUNCTIONS)
    names = [name for group in groups for name in group.split()]
    return names + (["res_stasis_broadcast", "app_stasis_broadcast"] if version in STASIS_BROADCAST else [])
