#!/bin/sh
# Plays this program as a child of the service.
for word; do :; done
failure() { printf '{"message_type":"exit_error","code":%s,"message":"%s"}\n' "$1" "$2" >&2; exit "$1"; }

case $word in
differs) echo one; echo two; exit 20 ;;
locked) echo one; failure 11 'somebody holds it' ;;
wordy) failure 25 "$(printf '%3000s' x)" ;;
endless) exec yes ;;
silent) # Ends when its standard input does, whatever signals come.
    trap '' INT; echo one; cat >/dev/null; failure 130 'nobody waits' ;;
esac
