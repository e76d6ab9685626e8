//! Tells people: mail, web hooks, pings and commands, by severity and escalation.
