//! The checks, each by its name.

mod deny;
mod ends;
mod storms;
mod streams;

/// A check: what is wrong, if anything is.
pub(crate) type Check = fn() -> Result<(), String>;

/// A list of checks with the names of their functions.
macro_rules! checks {
    ($($module:ident::$name:ident),* $(,)?) => {
        /// All of them.
        pub(crate) const ALL: &[(&str, Check)] = &[$((stringify!($name), $module::$name),)*];
    };
}

checks! {
    streams::a_stream_shows_what_is_published,
    streams::every_stream_gets_every_event_in_order,
    streams::a_stream_resumes_after_any_of_its_events,
    streams::a_resume_over_what_is_gone_tells_the_gap,
    streams::heartbeats_come_when_nothing_else_does,
    streams::a_source_starts_with_the_first_and_stops_with_the_last,
    streams::a_finished_source_ends_its_streams,
    ends::a_slow_stream_is_told_what_it_missed,
    ends::a_slow_stream_under_close_is_closed,
    ends::a_stream_that_never_reads_is_cut_and_the_others_go_on,
    ends::shutdown_ends_every_stream_after_a_whole_event,
    ends::half_open_peers_are_found,
    storms::slow_heads_are_read_and_endless_ones_are_cut,
    storms::a_reset_storm_leaves_nothing,
    storms::without_descriptors_it_waits_and_goes_on,
    storms::connecting_and_leaving_leaves_nothing,
    deny::a_foreign_page_neither_reads_nor_publishes,
    deny::only_loopback_names_are_served_on_loopback,
    deny::publishing_is_authorized_or_open,
    deny::topics_of_requests_are_bounded,
    deny::forged_ids_are_gaps_or_nothing,
    deny::tricks_with_names_are_refused,
    deny::nothing_is_injected,
    deny::bytes_after_a_request_are_not_another,
    deny::answers_are_neither_stored_nor_sniffed,
}

/// This holds, or that is wrong.
pub(crate) fn holds(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Two values that have to be the same.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(is: T, wanted: T) -> Result<(), String> {
    holds(is == wanted, || format!("{is:?}, and not {wanted:?}"))
}
