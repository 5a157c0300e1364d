"""The sections of pjsip.conf: endpoint, address of record and identification of each trunk, phone and Teams host."""

from __future__ import annotations

from collections.abc import Iterator

from asterisk.config.settings import AsteriskConfig, Phone, Sip, Teams, Trunk
from asterisk.version import SIGNALING_HOSTNAME, Version


def section(name: str, *parents: str, **options: object) -> str:
    """One section; an option that is None is left out, and one that is a tuple is written with commas."""
    lines = [f"[{name}]" + (f"({','.join(parents)})" if parents else "")]
    for key, value in options.items():
        if value is None or value == ():
            continue
        lines.append(f"{key}={','.join(str(part) for part in value) if isinstance(value, tuple) else value}")
    return "\n".join(lines) + "\n"


def transports(config: AsteriskConfig, version: Version) -> str:
    """UDP and TCP on one port, TLS where there is a certificate, and one more for Teams when it needs a name."""
    sip = config.sip
    found = [
        section(
            f"transport-{protocol}", type="transport", protocol=protocol, bind=_bind(sip.bind, sip.port), **_nat(sip)
        )
        for protocol in ("udp", "tcp")
    ]
    if sip.certificate:
        hostname = config.teams.domain if config.teams and version in SIGNALING_HOSTNAME else None
        nat = _nat(sip)
        if hostname:
            # Asterisk takes either an address or a name, and the name is what Teams checks against the certificate.
            nat["external_signaling_address"] = None
        found.append(
            section(
                "transport-tls",
                type="transport",
                protocol="tls",
                bind=_bind(sip.tls_bind, sip.tls_port),
                method="tlsv1_2",
                cert_file=sip.certificate.certificate,
                priv_key_file=sip.certificate.key,
                ca_list_file=sip.certificate.authorities,
                verify_server="yes",
                allow_wildcard_certs="yes",
                tcp_keepalive_enable="yes",
                external_signaling_hostname=hostname,
                external_signaling_port=sip.tls_port if hostname else None,
                **nat,
            )
        )
    return "\n".join(found)


def endpoints(config: AsteriskConfig) -> str:
    """All endpoints with what belongs to them."""
    found = [part for trunk in config.trunks for part in _trunk(trunk, config.sip)]
    found += _teams(config.teams, config.sip) if config.teams else []
    found += [part for phone in config.phones for part in _phone(phone, config.sip)]
    return "\n".join(found)


def _bind(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _nat(sip: Sip) -> dict[str, object]:
    return {
        "external_media_address": sip.external_address,
        "external_signaling_address": sip.external_address,
        "local_net": sip.local_networks,
    }


def _media(sip: Sip) -> dict[str, object]:
    return {
        "media_address": sip.media_address,
        "bind_rtp_to_media_address": "yes" if sip.media_address else None,
    }


def _uri(host: str, port: int, transport: str, user: str | None = None) -> str:
    """A SIP URI as configuration files want it: with its `;` escaped. UDP is the default and not named."""
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"sip:{f'{user}@' if user else ''}{bracketed}:{port}" + (
        "" if transport == "udp" else f"\\;transport={transport}"
    )


def _trunk(trunk: Trunk, sip: Sip) -> Iterator[str]:
    auth = f"{trunk.name}-auth" if trunk.username else None
    uri = _uri(trunk.host, trunk.port, trunk.transport)
    yield section(
        trunk.name,
        "hookflash-trunk",
        transport=f"transport-{trunk.transport}",
        context=trunk.context or f"from-{trunk.name}",
        allow=trunk.codecs,
        media_encryption="sdes" if trunk.encrypted_media else "no",
        aors=trunk.name,
        outbound_auth=auth,
        # A trunk that is known by its address is not asked for a password: carriers do not answer a challenge.
        auth=None if trunk.match else auth,
        from_domain=trunk.from_domain,
        from_user=trunk.from_user,
        **_media(sip),
    )
    yield section(trunk.name, type="aor", contact=uri, qualify_frequency=trunk.qualify_s)
    if trunk.username and trunk.password:
        yield _auth(f"{trunk.name}-auth", trunk.username, trunk.password.get_secret_value())
    if trunk.match:
        yield section(f"{trunk.name}-identify", type="identify", endpoint=trunk.name, match=trunk.match)
    if trunk.register_with_peer:
        yield section(
            f"{trunk.name}-registration",
            type="registration",
            transport=f"transport-{trunk.transport}",
            outbound_auth=auth,
            server_uri=uri,
            client_uri=_uri(trunk.host, trunk.port, trunk.transport, trunk.username),
            retry_interval=30,
            line="yes",
            endpoint=trunk.name,
        )


def _teams(teams: Teams, sip: Sip) -> list[str]:
    """`teams` reaches Microsoft's first host and takes all calls in; `teams2` and `teams3` are the next to be tried."""
    found: list[str] = []
    for name, host in zip(teams.endpoints, teams.hosts, strict=True):
        found.append(
            section(
                name,
                "hookflash-teams",
                transport="transport-tls",
                context=teams.context or f"from-{teams.name}",
                allow=teams.codecs,
                aors=name,
                from_domain=teams.domain,
                **_media(sip),
            )
        )
        contact = _uri(host, teams.port, "tls")
        found.append(section(name, type="aor", contact=contact, qualify_frequency=teams.qualify_s))
    found.append(section(f"{teams.name}-identify", type="identify", endpoint=teams.name, match=teams.match))
    return found


def _phone(phone: Phone, sip: Sip) -> Iterator[str]:
    yield section(
        phone.name,
        "hookflash-phone",
        allow=phone.codecs,
        aors=phone.name,
        auth=f"{phone.name}-auth",
        callerid=phone.caller_id,
        **_media(sip),
    )
    yield section(phone.name, type="aor", max_contacts=2, remove_existing="yes", qualify_frequency=60)
    yield _auth(f"{phone.name}-auth", phone.name, phone.password.get_secret_value())


def _auth(name: str, username: str, password: str) -> str:
    # `digest` is the current word; `userpass` is understood by every release, old and new.
    return section(name, type="auth", auth_type="userpass", username=username, password=password)
