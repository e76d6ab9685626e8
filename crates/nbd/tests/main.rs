//! The promises of the NBD crate, through its public door.

mod disks;
mod tools;

mod broken_servers_are_seen_through;
mod extents_agree_with_nbdinfo;
mod hostile_clients_cannot_hold_up_a_server;
mod lost_connections_are_made_anew;
mod overlays_keep_what_was_flushed;
mod real_clients_understand_our_server;
mod real_servers_are_read_and_written;
mod speed_is_told;
mod tls_lets_in_whom_it_should;
