//! What the crate promises, through its public doors.

mod doors;
mod world;

mod alerts_of_prometheus_fire_and_clear;
mod commands_are_told_and_ended;
mod conditions_are_told_at_their_moment;
mod mail_arrives_at_a_real_server;
mod nobody_is_left_untold;
mod the_web_is_told_and_its_faults_are_said;
