"""A real mail server on a free port: says the port, then each mail as one line of JSON.

Arguments: certificate, key, then any of: tls (from the first byte), starttls (required),
auth (required; user "ada", password "open sesame").
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Keep:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text = {part.get_content_type(): part.get_content().replace("\r\n", "\n")
                for part in message.walk() if not part.is_multipart()}
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in message.items()],
            "plain": text.get("text/plain"),
            "html": text.get("text/html"),
            "type": message.get_content_type(),
            "is_encrypted": session.ssl is not None or "tls" in modes,
            "is_known": bool(session.authenticated),
        }), flush=True)
        return "250 kept"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 known"


def check(server, session, envelope, mechanism, data):
    wanted = LoginPassword(b"ada", b"open sesame")
    return AuthResult(success=data == wanted, handled=False)


certificate, key, *modes = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)


def serve():
    return SMTP(
        Keep(),
        tls_context=context if "starttls" in modes else None,
        require_starttls="starttls" in modes,
        authenticator=check if "auth" in modes else None,
        auth_required="auth" in modes,
        auth_require_tls="starttls" in modes,
    )


async def main():
    loop = asyncio.get_running_loop()
    implicit = context if "tls" in modes else None
    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=implicit)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
