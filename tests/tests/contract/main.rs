//! The edge contract: what every edge promises, written once, run against each runtime.
//!
//! `suite` holds the promises, one function each; `spin`, `spin_redis` and `workerd` hold what it takes to run the same
//! wasm that is deployed. The origin here is a collector that records what it is sent and fails when told; the real origin
//! is in the end-to-end tests.

#![expect(clippy::unwrap_used, reason = "all of it is test code, where a panic is the answer")]

mod abuse;
mod auction;
mod collector;
mod edge;
mod eligible;
mod forget;
mod hls;
mod http_client;
mod openapi;
mod redis_faults;
mod spin;
mod spin_faults;
mod spin_redis;
mod spin_up;
mod suite;
mod vast;
mod wire;
mod workerd;
mod world;

/// Makes a test of every promise, for every runtime.
macro_rules! contract {
    ($($promise:ident)*) => {
        mod on_spin {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::suite::$promise(crate::edge::Edge::<crate::spin::Spin>::start().await).await;
            })*
        }
        mod on_spin_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::suite::$promise(crate::edge::Edge::<crate::spin_redis::SpinRedis>::start().await).await;
            })*
        }
        mod on_workerd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::suite::$promise(crate::edge::Edge::<crate::workerd::Workerd>::start().await).await;
            })*
        }
    };
}

contract! {
    every_slot_is_filled_or_unfilled_and_explained
    opportunities_are_the_sum_of_filled_and_unfilled_with_no_slot_lost_or_doubled
    a_retried_break_returns_the_same_pod_the_same_rows_and_the_same_claims
    retries_that_race_are_one_break
    two_hundred_concurrent_breaks_against_a_cap_of_5_are_exactly_5_fills
    several_caps_raced_at_once_are_each_filled_exactly
    twenty_viewers_by_three_campaigns_by_mixed_windows_are_each_filled_exactly
    a_failing_cap_store_declines_capped_ads_and_keeps_uncapped_ones
    a_hanging_cap_store_costs_no_more_than_the_budget
    a_hanging_store_and_a_hanging_origin_cost_no_more_than_the_answers_budget
    a_commit_that_landed_but_said_it_failed_is_found_again
    rows_that_neither_store_nor_origin_take_travel_sealed_and_come_home
    a_decision_travels_with_its_rows_and_is_made_again_exactly
    a_released_claims_token_is_dead_and_its_ad_may_be_shown_again
    of_contrary_beacons_that_race_one_decides_for_all
    beacons_whose_claim_cannot_be_settled_are_kept_by_the_client
    caps_count_sessions_and_breaks_and_keep_a_gap
    a_break_answered_without_the_store_has_the_same_slots_when_it_is_asked_again
    what_the_origin_did_not_take_is_shipped_when_it_is_back
    a_killed_edge_keeps_its_claims_its_answers_and_its_outbox
    beacons_are_acknowledged_only_when_the_origin_has_them
    what_is_said_beside_an_event_comes_to_the_origin
    a_batch_that_lay_is_older_by_as_long
    what_a_client_lost_is_told_by_who_has_a_token
    a_malformed_batch_is_refused_by_line_and_field
    a_pixel_reports_its_own_event_and_no_other
    forged_expired_and_other_key_tokens_are_refused
    tokens_and_bearers_of_every_step_of_a_key_rotation_are_taken_as_promised
    a_client_past_its_limit_is_refused_before_its_body_is_read_and_its_neighbours_are_not
    malformed_requests_are_refused_by_field
    oversize_bodies_are_refused
    a_plan_is_taken_only_from_the_origin_signed_and_newer
    a_viewer_is_forgotten_by_the_origin_only_and_their_caps_start_anew
    what_was_decided_before_a_viewer_was_forgotten_brings_nothing_back
    plans_published_in_a_race_leave_the_newest_in_force
    without_a_plan_every_slot_says_so
    a_page_on_any_site_may_call_the_edge
    what_guaranteed_demand_leaves_is_auctioned_once_and_the_winner_is_in_the_books
    an_auction_that_fails_costs_its_deadline_and_the_row_says_so
    an_auctions_wrappers_lead_only_where_they_may
    a_dynamic_pods_rest_is_auctioned_as_one_and_filled_by_several
    without_permission_an_auction_hears_of_nobody
    a_break_costs_two_round_trips_at_most
    every_version_of_vast_is_one_that_validators_accept
    a_stock_player_and_the_sdk_get_the_same_break
    what_a_stock_player_calls_lands_in_the_books
    an_error_of_a_break_without_ads_is_recorded
    a_click_leads_where_the_ad_was_booked_to_lead_and_nowhere_else
    a_vast_whose_rows_nobody_takes_is_not_answered
    a_malformed_query_is_refused_by_parameter
    a_vmap_leads_to_every_break_of_the_title
    a_device_is_believed_only_of_a_stitcher_that_is_known
    a_page_that_asks_with_credentials_may_read_its_vast
    tracking_leads_to_where_the_edge_says_it_is_reached
    an_asset_list_holds_the_filled_slots_and_what_it_says_to_call_counts
    an_asset_list_for_the_sdk_carries_the_breaks_answer
    an_asset_list_loaded_again_by_one_playback_is_one_break
    a_session_is_the_playback_unless_one_is_named
    what_a_late_joiner_cannot_be_shown_is_given_back
    an_ad_that_hls_cannot_play_is_not_listed_and_may_be_shown_elsewhere
    an_asset_list_without_an_ad_is_empty_and_its_rows_are_stored
    an_asset_list_whose_rows_nobody_takes_is_not_answered
    a_malformed_request_for_an_asset_list_is_refused_by_parameter
    a_titles_breaks_are_the_interstitials_of_the_demos_playlist
    who_objects_is_shown_nothing_that_a_longer_cap_counts_and_is_nobody_in_the_books
    caps_within_a_session_are_exact_for_who_objects_and_a_retry_is_no_second_break
    consent_strings_are_read_and_bounded_and_go_no_further
    what_a_crawler_asks_for_is_stored_and_flagged
    what_a_crawler_reports_is_stored_and_flagged_and_settles_nothing
}
